"""Backends `lava-float` and `lava-fixed`: Intel's Lava 0.10.0, its own CPU simulation.

Lava simulates Loihi; nothing here runs on a chip. It lives in an isolated environment (its pins quarrel with
ours) and is only imported there.
"""

from __future__ import annotations

from collections.abc import Sequence

from spikeport.deploy.backend import Inputs, Verdict
from spikeport.deploy.lava.plan import fixed_plan, float_plan
from spikeport.deploy.lava.program import LavaProgram
from spikeport.deploy.loihi.quantise import quantise, quantise_refusals, value_scales
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.stage import GRADED, lower_hops, refusals, verdicts
from spikeport.export.graph import ChipGraph
from spikeport.export.recording import FLOAT64

OWN = "a process of our own, not Lava's LIF"


class FloatBackend:
    """Lava's floating point models: the same network in float64, one step a hop."""

    name = "lava-float"
    calibrates = False

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node."""
        return verdicts(graph, refusals(graph), OWN)

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> LavaProgram:
        """Return the program; `calibration` is not needed."""
        stage = lower_hops(graph)
        currents = {node: scale for x in stage.layers for node, scale in x.current_scale.items()}
        return LavaProgram(graph, stage, float_plan(stage), FLOAT64, value_scales=currents)


class FixedBackend:
    """Lava's bit-accurate models of Loihi: integer weights and membranes, quantised by `deploy.loihi`."""

    name = "lava-fixed"
    calibrates = True
    graded = GRADED

    def __init__(self, weight_bits: WeightBits | None = None) -> None:
        """Make the backend for weights of so many bits, by default 8 everywhere."""
        self.weight_bits = weight_bits or WeightBits()

    def with_weight_bits(self, weight_bits: WeightBits) -> FixedBackend:
        """Return the same backend with weights of so many bits."""
        return FixedBackend(weight_bits)

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node; samples may still show a layer that leaves the range of its state."""
        return verdicts(graph, quantise_refusals(graph, self.weight_bits), OWN, integers=True)

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> LavaProgram:
        """Return the program, its scales chosen so that the calibration samples fit."""
        quantised = quantise(graph, calibration, self.weight_bits)
        scales = {node: scale for x in quantised.layers for node, scale in value_scales(x).items()}
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


float_backend = FloatBackend()
fixed_backend = FixedBackend()
