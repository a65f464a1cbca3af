"""A legalised stage, run by norse in its isolated environment."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import nir
import numpy as np

from spikeport.deploy.backend import Inputs
from spikeport.deploy.isolated import Environment
from spikeport.deploy.overlay import Overlay
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import check_inputs, recorded_nodes
from spikeport.export.recording import FLOAT32, Recording

ENVIRONMENT = Overlay("norse", from_source=("norse",))
WORKER = Path(__file__).parent / "worker.py"

_ELEMENTS_AT_ONCE = 50_000_000


@dataclass(frozen=True)
class NorseProgram:
    """A graph that norse imports, under plain names (`n0`, `n1`), since norse merges `a.b` and `a_b`.

    Attributes:
        graph: the stage as it was.
        names: its nodes' plain names.
        legal: the legalised nodes, by plain name.
        environment: where norse lives.
    """

    graph: ChipGraph
    names: Mapping[str, str]
    legal: Mapping[str, nir.NIRNode]
    environment: Environment = ENVIRONMENT

    def to_nir(self) -> nir.NIRGraph:
        """Return the legalised graph."""
        edges = [(self.names[u], self.names[w]) for u, w in self.graph.edges]
        return nir.NIRGraph(dict(self.legal), edges, type_check=False)

    def run(self, inputs_TBN: Inputs) -> Recording:
        """Run all samples from the zero state, many at once, in float32."""
        arrays = check_inputs(self.graph, inputs_TBN)
        timesteps, samples = next(iter(arrays.values())).shape[:2]
        recorded = recorded_nodes(self.graph)
        with tempfile.TemporaryDirectory(prefix="spikeport-norse-") as name:
            folder = Path(name)
            self.save(folder)
            elements = timesteps * sum(prod(shape) for shape in self.graph.shapes.values())
            batch = min(max(_ELEMENTS_AT_ONCE // elements, 1), samples)
            (folder / "run.json").write_text(json.dumps(self._request(batch)), "utf-8")
            np.savez(
                folder / "inputs.npz",
                allow_pickle=False,
                **{self.names[n]: x.astype(np.float32) for n, x in arrays.items()},
            )
            self.environment.run(WORKER, folder)
            with np.load(folder / "records.npz") as records:
                nodes = {name: records[self.names[name]] for name in recorded}
        return Recording(nodes, dict.fromkeys(nodes, 0), timesteps, FLOAT32)

    def save(self, folder: Path) -> None:
        """Write the legalised `graph.nir`."""
        nir.write(folder / "graph.nir", self.to_nir())

    def _request(self, batch: int) -> dict[str, object]:
        graph, names = self.graph, self.names
        sources = {
            names[node]: [(names[source], (source, node) in graph.registers) for source in graph.predecessors[node]]
            for node in graph.order
        }
        return {
            "dt_s": graph.dt_s,
            "batch": batch,
            "order": [names[node] for node in graph.order],
            "inputs": [names[node] for node in graph.inputs],
            "neurons": [names[node] for node in graph.neurons],
            "records": [names[node] for node in recorded_nodes(graph)],
            "sources": sources,
            "shapes": {names[node]: shape for node, shape in graph.shapes.items()},
        }
