"""Backend `reference`: the interpreter itself, float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nir

from spikeport.deploy.backend import Inputs, Verdict
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
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

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """All nodes are native."""
        return [Verdict(name, type(node).__name__, "native") for name, node in graph.nodes.items()]

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> ReferenceProgram:
        """Return the graph as a program."""
        return ReferenceProgram(graph)


backend = ReferenceBackend()
