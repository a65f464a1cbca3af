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
from typing import Any

import torch
from torch import Tensor, nn

import spikeport
from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.model_block import model_block, model_footprint, unknown_neurons
from spikeport.benchmarks.counting.torch_counter import SpikeCounter
from spikeport.benchmarks.results import Results, Row
from spikeport.benchmarks.statistics import wilson
from spikeport.errors import UsageError
from spikeport.provenance import git_hash, machine, versions

PACKAGES = ("torch", "snntorch", "numpy")
MISSING = {
    "agreement": "a bare module was not exported, so there is nothing to hold it against",
    "coverage": "it was counted, not recorded neuron by neuron",
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
        UsageError: there is no sample, the labels are not one class for each, or an answer is not one row of scores
            for each label, all of them numbers.
        UnfaithfulError: the model's inside cannot be counted; see `SpikeCounter`.
    """
    run = model if answer is None else answer
    right = n = 0
    with SpikeCounter(model) as counter, torch.no_grad():
        for x, labels_B in batches:
            _check_labels(labels_B)
            counter.start(len(labels_B))
            scores_BC = run(x)
            _check_scores(name, scores_BC, labels_B)
            right += int((scores_BC.argmax(1) == labels_B.to(scores_BC.device)).sum())
            n += len(labels_B)
    if not n:
        raise UsageError(f"data '{data}'", "there is no sample", "Give at least one batch of inputs and labels")
    counts = counter.counts()
    row = Row(
        id=f"{name}/torch",
        name="torch",
        kind="snn" if counts.neurons or counts.unknown_neurons else "ann",
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
        coverage=None,
        agreement=None,
        stages=(),
        counts=model_block(counts),
        footprint=model_footprint(counts),
        energy=(),
        measured=None,
        timing=None,
        missing=MISSING | ({"footprint": why} if (why := unknown_neurons(counts)) else {}),
    )
    return Results(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        spikeport=spikeport.__version__,
        git=git_hash(),
        environment=machine() | versions(PACKAGES),
        title=name,
        rows=(row,),
    )


def _check_labels(labels: Any) -> None:
    """Refuse all but classes [B]: torch would broadcast another shape, and compare other numbers."""
    if not isinstance(labels, Tensor) or labels.ndim != 1:
        found = list(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise UsageError(
            f"labels {found}", "they are no tensor [B]", "Give one class a sample, as argmax(1) of one-hot"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype is torch.bool:
        raise UsageError(f"labels of {labels.dtype}", "a class is a whole number", "Give labels.long()")


def _check_scores(name: str, scores: Any, labels_B: Tensor) -> None:
    """Refuse all but numbers [B, C] with a class for each label: of NaN, `argmax` makes a class."""
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(labels_B):
        found = list(scores.shape) if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        reason = f"it answers with {found} for {len(labels_B)} labels"
        raise UsageError(f"model '{name}'", reason, "Give answer=, which returns scores [B, C]")
    if bool(scores.isnan().any()):
        raise UsageError(f"model '{name}'", "it answers with NaN, which is no score", "Mend the model or its input")
    classes = scores.shape[1]
    if bool(((labels_B < 0) | (labels_B >= classes)).any()):
        found = f"{int(labels_B.min())} to {int(labels_B.max())}"
        reason = f"model '{name}' has scores of {classes} classes, 0 to {classes - 1}"
        raise UsageError(f"labels {found}", reason, "Give the labels of the classes that it was trained on")
