"""Any torch model into `results.json`: counted while it answers labelled samples.

```python
results = benchmark_module(net, [(x, y), ...], name="my-net", data="my data, test part")
```

A bare module says neither how it is exported nor how its steps lie in time, so agreement and energy are null, with
the reason.

Shape suffixes: B samples, C classes.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

import spikeport
from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.model_block import model_block, model_footprint
from spikeport.benchmarks.counting.torch_counter import SpikeCounter
from spikeport.benchmarks.results import Results, Row
from spikeport.benchmarks.statistics import wilson
from spikeport.errors import UsageError
from spikeport.provenance import git_hash, machine, versions

PACKAGES = ("torch", "snntorch", "numpy")
MISSING = {
    "agreement": "a bare module was not exported, so there is nothing to hold it against",
    "energy": "the energy models price an exported network or a twin; export the module for them",
    "discrimination": "which of its tensors are embeddings is not known",
    "measured": "joules were not measured: no counter was asked for",
    "timing": "it was counted while it ran, which takes time",
}


def benchmark_module(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    name: str,
    data: str,
    answer: Callable[[Tensor], Tensor] | None = None,
    timesteps: int | None = None,
) -> Results:
    """Return the results of one row: accuracy, counts and footprint of `model`.

    Args:
        model: in evaluation mode.
        batches: inputs and labels_B.
        name: of the model.
        data: what the samples are; shown wherever a figure stands.
        answer: runs `model` on one batch and returns scores_BC; by default the call itself. Neurons stand at
            their initial state before each batch.
        timesteps: T, where the model takes any.

    Raises:
        UsageError: there is no sample, or an answer is not one row of scores for each label.
        UnfaithfulError: the model's inside cannot be counted; see `SpikeCounter`.
    """
    run = model if answer is None else answer
    right = n = 0
    with SpikeCounter(model) as counter, torch.no_grad():
        for x, labels_B in batches:
            counter.start(len(labels_B))
            scores_BC = run(x)
            if scores_BC.ndim != 2 or len(scores_BC) != len(labels_B):
                reason = f"it answers with {list(scores_BC.shape)} for {len(labels_B)} labels"
                raise UsageError(f"model '{name}'", reason, "Give answer=, which returns scores [B, C]")
            right += int((scores_BC.argmax(1) == labels_B).sum())
            n += len(labels_B)
    counts = counter.counts()
    row = Row(
        id=f"{name}/torch",
        name="torch",
        kind="snn" if counts.neurons else "ann",
        twin=None,
        model=name,
        bundle=None,
        seed=None,
        dataset=blocks.Dataset(name=data, split="given", samples=n, note=f"samples given in Python: {data}"),
        condition={} if timesteps is None else {"T": timesteps},
        dt_s=None,
        timesteps=timesteps,
        status="ok",
        reason=None,
        accuracy=blocks.Accuracy(value=right / n, n=n, ci95=wilson(right, n)),
        agreement=None,
        stages=(),
        counts=model_block(counts),
        footprint=model_footprint(counts),
        energy=(),
        measured=None,
        timing=None,
        missing=MISSING,
    )
    return Results(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        spikeport=spikeport.__version__,
        git=git_hash(),
        environment=machine() | versions(PACKAGES),
        title=name,
        rows=(row,),
    )
