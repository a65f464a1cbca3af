"""Backend `loihi`: our integer engine, which computes what Lava's `fixed_pt` simulation of Loihi computes."""

from __future__ import annotations

from collections.abc import Sequence

from spikeport.deploy.backend import Inputs, Verdict
from spikeport.deploy.loihi.program import LoihiProgram
from spikeport.deploy.loihi.quantise import quantise, quantise_refusals
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.stage import GRADED, verdicts
from spikeport.export.graph import ChipGraph

OWN = "a neuron program on Loihi 2; on Loihi 1 more compartments for a reset, more settings for neurons' own (inferred)"


class LoihiBackend:
    """Loihi's integers on this machine's processor: no chip, no Lava."""

    name = "loihi"
    calibrates = True
    graded = GRADED

    def __init__(self, weight_bits: WeightBits | None = None) -> None:
        """Make the backend for weights of so many bits, by default 8 everywhere."""
        self.weight_bits = weight_bits or WeightBits()

    def with_weight_bits(self, weight_bits: WeightBits) -> LoihiBackend:
        """Return the same backend with weights of so many bits."""
        return LoihiBackend(weight_bits)

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node; samples may still show a layer that leaves the range of its state."""
        return verdicts(graph, quantise_refusals(graph, self.weight_bits), OWN, integers=True)

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> LoihiProgram:
        """Return the program, its scales chosen so that the calibration samples fit."""
        return LoihiProgram(graph, quantise(graph, calibration, self.weight_bits))


backend = LoihiBackend()
