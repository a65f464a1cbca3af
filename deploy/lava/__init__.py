"""Backends `lava-float` and `lava-fixed`: Intel's Lava 0.10.0, its own CPU simulation.

Lava simulates Loihi; nothing here runs on a chip. It lives in an isolated environment (its pins quarrel with
ours) and is only imported there.
"""

from __future__ import annotations

from collections.abc import Sequence

from spikeport.deploy.backend import Inputs, Verdict
from spikeport.deploy.lava.plan import fixed_plan, float_plan
from spikeport.deploy.lava.program import LavaProgram
from spikeport.deploy.loihi.quantise import quantise, quantise_refusals
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.stage import lower_hops, not_stock, refusals, verdicts
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph
from spikeport.export.recording import FLOAT64

OWN = "a process of our own, not Lava's LIF"


class FloatBackend:
    """Lava's floating point models: the same network in float64, one step a hop."""

    name = "lava-float"
    calibrates = False

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node."""
        return verdicts(graph, _refusals(graph), OWN)

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> LavaProgram:
        """Return the program; `calibration` is not needed."""
        if refused := _refusals(graph):
            raise next(iter(refused.values()))
        stage = lower_hops(graph)
        return LavaProgram(graph, stage, float_plan(stage), FLOAT64)


class FixedBackend:
    """Lava's bit-accurate models of Loihi: integer weights and membranes, quantised by `deploy.loihi`."""

    name = "lava-fixed"
    calibrates = True

    def __init__(self, weight_bits: WeightBits | None = None) -> None:
        """Make the backend for weights of so many bits, by default 8 everywhere."""
        self.weight_bits = weight_bits or WeightBits()

    def with_weight_bits(self, weight_bits: WeightBits) -> FixedBackend:
        """Return the same backend with weights of so many bits."""
        return FixedBackend(weight_bits)

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node; samples may still show a layer that leaves the range of its state."""
        return verdicts(graph, self._refusals(graph), OWN, integers=True)

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> LavaProgram:
        """Return the program, its scales chosen so that the calibration samples fit."""
        if refused := self._refusals(graph):
            raise next(iter(refused.values()))
        quantised = quantise(graph, calibration, self.weight_bits)
        scales = {x.layer.name: x.scale for x in quantised.layers}
        return LavaProgram(
            graph,
            quantised.stage,
            fixed_plan(quantised),
            None,
            input_scales=quantised.input_scales,
            input_limits=quantised.input_limits,
            value_scales=scales,
            reports=quantised.reports,
        )

    def _refusals(self, graph: ChipGraph) -> dict[str, UnfaithfulError]:
        return quantise_refusals(graph, self.weight_bits) or not_stock(graph, "Lava's LIF resets to 0")


def _refusals(graph: ChipGraph) -> dict[str, UnfaithfulError]:
    return refusals(graph) or not_stock(graph, "Lava's LIF resets to 0, with one decay and threshold a process")


float_backend = FloatBackend()
fixed_backend = FixedBackend()
