"""Running the parts of a cut step in torch, with what the hosts' neurons keep inside.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from spikeport.export.convert.feedback import Loop, zero_start
from spikeport.export.convert.private import forget
from spikeport.export.cut import Cut, Part
from spikeport.export.host_state import host_neurons
from spikeport.export.norms import NormsInFloat64


@dataclass(frozen=True)
class PartsRun:
    """What the parts did on a sample.

    Attributes:
        tensors: every tensor [T, B, *shape], inputs and feedback among them.
        inside: for each part, what its host neurons show after every step, by place.
    """

    tensors: dict[str, Tensor]
    inside: tuple[dict[str, Tensor], ...]


def run_parts(step: Cut, sample_TB: Mapping[str, Tensor], loops: Mapping[str, Loop]) -> PartsRun:
    """Run the parts step by step from the zero state; what `loops` carry is 0 at first.

    A chip part runs as it is recorded, so that what it hands on is its recording.
    """
    for part in step.parts:
        forget(part.module)
    tensors: list[dict[str, Tensor]] = []
    inside: list[list[dict[str, Tensor]]] = []
    with torch.no_grad():
        for t in range(len(next(iter(sample_TB.values())))):
            now = {name: x[t] for name, x in sample_TB.items()}
            carried = (
                {n: tensors[-1][source] for n, source in step.feedback.items()} if tensors else zero_start(loops, now)
            )
            now |= carried
            inside.append([_run(part, now) for part in step.parts])
            tensors.append(now)
    for part in step.parts:
        forget(part.module)
    return PartsRun(_stack(tensors), tuple(_stack([row[i] for row in inside]) for i in range(len(step.parts))))


def _run(part: Part, now: dict[str, Tensor]) -> dict[str, Tensor]:
    step = NormsInFloat64(part.module).run if part.kind == "chip" else part.module
    result = step(*[now[tensor] for _, tensor in part.inputs])
    values = result if isinstance(result, tuple | list) else (result,)
    now |= dict(zip(part.outputs, values, strict=True))
    neurons = host_neurons(part.module) if part.kind == "host" else ()
    return {place: value.clone() for neuron in neurons for place, value in neuron.seen().items()}


def _stack(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
