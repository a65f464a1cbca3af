"""What passes between the chip and the rest: for every tensor, how many elements and how many of them are not 0.

The network's inputs are encoded outside the chip and its answers are read outside, so both cross. A tensor that
several stages read crosses once a way.

Shape suffixes: T steps, B samples, N the tensor's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikeport.export.recording import Recording
from spikeport.export.stages import ChipStage, StagedNetwork

Values = NDArray[np.generic]

INPUT, OUTPUT = "input", "output"
BYTES_PER_ELEMENT = 4


@dataclass(frozen=True)
class CrossingCounts:
    """One tensor over all samples and steps; see `spikeport.benchmarks.blocks.Crossing`."""

    tensor: str
    to: Literal["chip", "host"]
    source: str
    targets: tuple[str, ...]
    elements: int
    nonzero: int


def count_crossings(
    network: StagedNetwork, chip_inputs: Mapping[str, Mapping[str, Values]], recordings: Mapping[str, Recording]
) -> tuple[CrossingCounts, ...]:
    """Count every tensor that passes between a chip stage and a host stage, an input or an answer.

    Args:
        network: the stages.
        chip_inputs: for each chip stage [T, B, *N] of each input node.
        recordings: for each chip stage what it did.
    """
    return (*_to_chip(network, chip_inputs), *_to_host(network, recordings))


def _to_chip(network: StagedNetwork, chip_inputs: Mapping[str, Mapping[str, Values]]) -> tuple[CrossingCounts, ...]:
    writers = {tensor: stage for stage in network.stages for tensor in stage.outputs.values()}
    before = {register.tensor: register.source for register in network.registers}
    readers: dict[str, list[str]] = {}
    values: dict[str, Values] = {}
    for stage in network.chips:
        for node, tensor in stage.inputs.items():
            if not isinstance(writers.get(before.get(tensor, tensor)), ChipStage):
                readers.setdefault(tensor, []).append(stage.name)
                values[tensor] = chip_inputs[stage.name][node]
    found = []
    for tensor, targets in readers.items():
        writer = writers.get(before.get(tensor, tensor))
        found.append(_crossing(tensor, "chip", INPUT if writer is None else writer.name, targets, values[tensor]))
    return tuple(found)


def _to_host(network: StagedNetwork, recordings: Mapping[str, Recording]) -> tuple[CrossingCounts, ...]:
    later = {register.source: register.tensor for register in network.registers}
    found = []
    for chip in network.chips:
        for node, tensor in chip.outputs.items():
            names = {tensor, later.get(tensor, tensor)}
            outside = [s for s in network.stages if not isinstance(s, ChipStage)]
            targets = [s.name for s in outside if names & set(s.inputs.values())]
            targets += [OUTPUT] if tensor in network.outputs else []
            if targets:
                values_TBN = recordings[chip.name].aligned(node)
                found.append(_crossing(tensor, "host", chip.name, targets, values_TBN))
    return tuple(found)


def _crossing(
    tensor: str, to: Literal["chip", "host"], source: str, targets: list[str], values_TBN: Values
) -> CrossingCounts:
    return CrossingCounts(tensor, to, source, tuple(targets), values_TBN.size, int(np.count_nonzero(values_TBN)))
