"""The stages of a network whose forward loops over time, held against the author's own run.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.author import author_run
from spikeport.export.convert import Rewrite
from spikeport.export.convert.private import forget
from spikeport.export.drafts import Drafts, draft
from spikeport.export.host_draft import HostDraft
from spikeport.export.looped.after import After, Form
from spikeport.export.looped.gathered import flat
from spikeport.export.looped.network import Looped
from spikeport.models.network import READOUT

LOOP = "its loop over {} time steps as one step, run as often; its inputs are laid out as [T, B, *shape]"
ROUNDING = 1e-6
"""A sum over time is taken in another order than the author's loop takes it: relative to its largest value."""


def draft_looped(model: nn.Module, network: Looped, sample: Mapping[str, Tensor], dt_s: float, check: bool) -> Drafts:
    """Convert and verify the step, and what follows the loop; hold all that forward returns against the author's run.

    Args:
        model: the author's.
        network: its stages.
        sample: what forward takes.
        dt_s: the time step in seconds.
        check: whether to verify.

    Raises:
        UnfaithfulError: a part has no faithful form, or is not the model.
    """
    if check:
        _check(model, network, sample)
    found = draft(network.step, network.inputs_TB, dt_s, None, check, network.feedback)
    tensors = {**found.tensors}
    stages = [*found.stages]
    step = dict(zip(network.outputs, found.outputs, strict=True))
    outputs = {name: step[output] for name, output in network.windows.items()}
    for form, after in network.after.items():
        host = _host(form, after, {name: (step[name], tensors[step[name]]) for name in after.inputs})
        stages.append(host)
        tensors |= host.values_TB
        outputs |= dict(zip(after.outputs, host.outputs.values(), strict=True))
    shown = {outputs[name]: tensors[outputs[name]] for name in network.returned}
    steps = len(next(iter(network.inputs_TB.values())))
    rewrites = (*found.rewrites, Rewrite("forward", LOOP.format(steps)))
    return Drafts(tuple(stages), shown, tensors, found.registers, rewrites)


def _host(form: Form, after: After, given: Mapping[str, tuple[str, Tensor]]) -> HostDraft:
    inputs = {f"input_{i}": given[name][0] for i, name in enumerate(after.inputs)}
    values = dict(given.values())
    with torch.no_grad():
        results = after.module(*[given[name][1].float() for name in after.inputs])
    name = READOUT if form == "window" else "after"
    outputs = {f"output_{i}": f"{name}_{result}" for i, result in enumerate(after.outputs)}
    values |= {t: y[None] if form == "window" else y for t, y in zip(outputs.values(), results, strict=True)}
    return HostDraft(name, after.module, form, inputs, outputs, values)


def _check(model: nn.Module, network: Looped, sample: Mapping[str, Tensor]) -> None:
    """Hold the stages, in torch, against the author's own run: windows bit for bit.

    Raises:
        UnfaithfulError: they differ; or see `author_run`.
    """
    own = dict(flat(author_run(model, lambda module: module(**{name: x.clone() for name, x in sample.items()}))))
    shown = _run(network)
    for name, value in shown.items():
        # A list of all steps' values is one window.
        author = own[name] if name in own else torch.stack([own[f"{name}_{t}"] for t in range(len(value))])
        exact = name in network.windows
        if not _same(value, author, exact):
            raise UnfaithfulError(
                f"model {type(model).__name__}",
                f"its forward does more than one step again and again (output '{name}' differs)",
                "Keep all state in neurons, and resets, counters and chance outside of the loop",
            )


def _same(value: Tensor, author: Any, exact: bool) -> bool:
    if not isinstance(author, Tensor) or author.shape != value.shape:
        return False
    if exact:
        return torch.equal(value, author)
    scale = float(author.abs().max()) if author.numel() and author.is_floating_point() else 1.0
    return bool(torch.allclose(value.to(author.dtype), author, rtol=0, atol=ROUNDING * max(scale, 1e-30)))


def _run(network: Looped) -> dict[str, Tensor]:
    """Return all that forward returns, by the stages."""
    step = network.step
    forget(step)
    rows: list[tuple[Tensor, ...]] = []
    names = [str(n.target) for n in step.graph.nodes if n.op == "placeholder"]
    with torch.no_grad():
        for t in range(len(next(iter(network.inputs_TB.values())))):
            given = {name: x[t].clone() for name, x in network.inputs_TB.items()}
            given |= {n: rows[-1][at] if rows else torch.zeros(()) for n, at in network.feedback.items()}
            rows.append(step(*[given[name] for name in names]))
        windows = {n: torch.stack(x) for n, x in zip(network.outputs, zip(*rows, strict=True), strict=True)}
        shown = {name: windows[output] for name, output in network.windows.items()}
        for after in network.after.values():
            results = after.module(*[windows[name] for name in after.inputs])
            shown |= dict(zip(after.outputs, results, strict=True))
    forget(step)
    return shown
