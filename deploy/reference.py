"""Backend `reference`: the interpreter itself, float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nir

from spikeport.deploy.backend import Inputs, Verdict
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.neurons import if_gain
from spikeport.export.recording import Recording


@dataclass(frozen=True)
class ReferenceProgram:
    """The graph as it stands."""

    graph: ChipGraph

    def run(self, inputs_TBN: Inputs) -> Recording:
        """Interpret the graph."""
        return run(self.graph, inputs_TBN)

    def save(self, folder: Path) -> None:
        """Write the graph as `graph.nir`."""
        nir.write(folder / "graph.nir", self.graph.to_nir())


class ReferenceBackend:
    """Every NIR primitive, by definition."""

    name = "reference"
    calibrates = False

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node: native, unless NIR leaves its step open and the user has not said it."""
        return [_verdict(graph, name) for name in graph.order]

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> ReferenceProgram:
        """Return the graph as a program."""
        return ReferenceProgram(graph)


def _verdict(graph: ChipGraph, name: str) -> Verdict:
    node = graph.nodes[name]
    kind = type(node).__name__
    if isinstance(node, nir.I | nir.IF):
        try:
            if_gain(name, node, graph.dt_s, graph.if_step)
        except UnfaithfulError as error:
            return Verdict(name, kind, "refused", f"{error.reason}. {error.fix}")
    return Verdict(name, kind, "native")


backend = ReferenceBackend()
