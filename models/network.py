"""A spiking network: segments in order, each of which runs step by step or once over the whole window.

Most networks are one step (`core`) and a readout of the window (`core_network`). What needs all time steps at once,
attention over time or a norm of rates, stands between two steps as a segment of its own: the same places at which
deployment cuts the network into chip and host stages.

Shape suffixes: T time steps, B samples, N any shape, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.folded import fold
from spikeport.models.state import reset_state

CORE, READOUT, SPIKES, LOGITS = "core", "readout", "spikes", "logits"
Tensors = dict[str, Tensor]


class SpikeRate(nn.Module):
    """A Linear on spike counts per step: `logits_BK = W (sum_t s_TBN / T) + b`."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, spikes_TBN: Tensor) -> Tensor:
        """Return logits_BK."""
        logits_BK: Tensor = self.linear(spikes_TBN.mean(0))
        return logits_BK


@dataclass(frozen=True)
class Segment:
    """A part of a network that reads and writes named tensors [T, B, *].

    Attributes:
        name: under which the network holds `module`.
        form: `step`: the module computes one step of plain layers and snnTorch neurons with `init_hidden=True`,
            without Python control flow, so that torch.fx can trace it; `sequence`: it maps windows [T, B, *] to
            windows of the same T, without neurons; `readout`: it maps windows to one answer [B, *].
        module: takes `inputs` in order and returns `outputs`, a tuple where they are several.
        inputs: the tensors that it reads: the network's own inputs, or what segments before it wrote.
        outputs: the tensors that it writes.
    """

    name: str
    form: Literal["step", "sequence", "readout"]
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class SpikingNetwork(nn.Module):
    """Runs its segments in order, every neuron from state zero.

    Args:
        segments: in order; the first output of the last is the network's answer.
        input_names: the tensors that the network is given.
    """

    def __init__(self, segments: Sequence[Segment], input_names: tuple[str, ...]) -> None:
        super().__init__()
        _check(segments, input_names)
        for segment in segments:
            self.add_module(segment.name, segment.module)
        self._plan = tuple((s.name, s.form, s.inputs, s.outputs) for s in segments)
        self.input_names = input_names
        self.answer = segments[-1].outputs[0]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments; the modules are the network's own, also after a copy."""
        return tuple(
            Segment(name, form, self.get_submodule(name), inputs, outputs) for name, form, inputs, outputs in self._plan
        )

    @property
    def reads_out(self) -> bool:
        """Whether the answer is one [B, *] a sample, and not a window [T, B, *] of spikes."""
        return self._plan[-1][1] == READOUT

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the answer for inputs of shape [T, B, *shape]: logits_BK, or spikes_TBN without a readout."""
        return self.tensors(inputs)[self.answer]

    def forward_folded(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what `forward` does up to rounding, several times faster: for training.

        Stateless layers see all steps as one batch of T*B; see `spikeport.models.folded`.
        """
        return self.tensors(inputs, folded=True)[self.answer]

    def tensors(self, inputs: Mapping[str, Tensor], folded: bool = False) -> Tensors:
        """Return all that the segments write, by name; step by step unless `folded`: the network's definition."""
        self._check_inputs(inputs)
        known: Tensors = dict(inputs)
        for segment in self.segments:
            given = [known[name] for name in segment.inputs]
            if segment.form == "step":
                results = as_tuple(fold(segment.module, given) if folded else _stepwise(segment.module, given))
            else:
                results = as_tuple(segment.module(*given))
            known |= dict(zip(segment.outputs, results, strict=True))
        return known

    def _check_inputs(self, inputs: Mapping[str, Tensor]) -> None:
        if set(inputs) != set(self.input_names):
            wanted = ", ".join(self.input_names)
            raise UsageError(f"inputs {sorted(inputs)}", "they are not this network's", f"Give exactly: {wanted}")
        leading = {name: tuple(x_TBN.shape[:2]) for name, x_TBN in inputs.items()}
        first, *others = leading.values()
        # not by a set: when ONNX is written, the sizes are symbols without a hash
        if any(size != first for size in others):
            fix = "Encode them with the same number of steps and samples"
            raise UsageError(f"inputs of [T, B] {leading}", "the inputs of one batch must agree in both", fix)
        if first[0] == 0:
            raise UsageError("inputs with T = 0", "there is no step to run", "Give at least one step")


def core_network(core: nn.Module, readout: nn.Module | None, input_names: tuple[str, ...]) -> SpikingNetwork:
    """Return the network of one step and a readout.

    Args:
        core: one step, `core(*inputs_B) -> spikes_BN`.
        readout: `readout(spikes_TBN) -> logits_BK`, or None where the spikes are the answer.
        input_names: the core's inputs, in the order of its arguments.
    """
    segments = [Segment(CORE, "step", core, input_names, (SPIKES,))]
    if readout is not None:
        segments.append(Segment(READOUT, "readout", readout, (SPIKES,), (LOGITS,)))
    return SpikingNetwork(segments, input_names)


def as_tuple(value: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return what a module returned as a tuple of tensors."""
    return (value,) if isinstance(value, Tensor) else tuple(value)


def _stepwise(step: nn.Module, inputs_TBN: Sequence[Tensor]) -> tuple[Tensor, ...]:
    reset_state(step)
    rows = [as_tuple(step(*(x_TBN[t] for x_TBN in inputs_TBN))) for t in range(len(inputs_TBN[0]))]
    return tuple(torch.stack(values) for values in zip(*rows, strict=True))


def _check(segments: Sequence[Segment], input_names: tuple[str, ...]) -> None:
    """Raise where a segment reads what nothing before it writes, or a name stands twice: a mistake in a model."""
    known = list(input_names)
    for i, segment in enumerate(segments):
        if unknown := [name for name in segment.inputs if name not in known]:
            raise ValueError(f"segment '{segment.name}' reads '{unknown[0]}', which nothing before it writes")
        if segment.form == READOUT and i + 1 < len(segments):
            raise ValueError(f"segment '{segment.name}' is a readout and stands before '{segments[i + 1].name}'")
        known += segment.outputs
    names = [segment.name for segment in segments]
    if len(set(known)) < len(known) or len(set(names)) < len(names):
        raise ValueError(f"segments {names} write {known}: a name stands twice")
