"""Backends `lava-float` and `lava-fixed`: Intel's Lava 0.10.0, its own CPU simulation.

Lava simulates Loihi; nothing here runs on a chip. It lives in an isolated environment (its pins quarrel with
ours) and is only imported there.
"""

from __future__ import annotations

from collections.abc import Sequence

from spikeport.deploy.backend import Inputs, Verdict
from spikeport.deploy.lava.plan import float_plan
from spikeport.deploy.lava.program import LavaProgram
from spikeport.deploy.stage import lower_hops, refusals, verdicts
from spikeport.export.graph import ChipGraph
from spikeport.export.recording import FLOAT64


class FloatBackend:
    """Lava's floating point models: the same network in float64, one step a hop."""

    name = "lava-float"

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node."""
        return verdicts(graph, refusals(graph))

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> LavaProgram:
        """Return the program; `calibration` is not needed."""
        stage = lower_hops(graph)
        return LavaProgram(graph, stage, float_plan(stage), FLOAT64)


float_backend = FloatBackend()
