"""A stage as norse's cells, run in an overlay on the torch that runs here."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from spikeport.deploy.backend import Inputs
from spikeport.deploy.isolated import Environment
from spikeport.deploy.norse.parts import Part
from spikeport.deploy.overlay import Overlay
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import check_inputs, recorded_nodes
from spikeport.export.recording import FLOAT64, Recording

ENVIRONMENT = Overlay("norse", from_source=("norse",))
WORKER = Path(__file__).parent / "worker.py"

_ELEMENTS_AT_ONCE = 50_000_000


@dataclass(frozen=True)
class NorseProgram:
    """A graph and what runs in place of its nodes.

    Attributes:
        graph: the stage.
        parts: by node.
        environment: where norse lives.
    """

    graph: ChipGraph
    parts: Mapping[str, Part]
    environment: Environment = ENVIRONMENT

    def run(self, inputs_TBN: Inputs) -> Recording:
        """Run all samples from the zero state, many at once, in float64."""
        arrays = check_inputs(self.graph, inputs_TBN)
        timesteps, samples = next(iter(arrays.values())).shape[:2]
        with tempfile.TemporaryDirectory(prefix="spikeport-norse-") as name:
            folder = Path(name)
            self.save(folder)
            elements = timesteps * sum(prod(shape) for shape in self.graph.shapes.values())
            batch = min(max(_ELEMENTS_AT_ONCE // elements, 1), samples)
            np.savez(folder / "inputs.npz", **{f"node/{name}": x for name, x in arrays.items()})  # type: ignore[arg-type]
            (folder / "run.json").write_text(json.dumps({"batch": batch}), "utf-8")
            self.environment.run(WORKER, folder)
            with np.load(folder / "records.npz") as records:
                nodes = {name: records[f"node/{name}"] for name in recorded_nodes(self.graph)}
        return Recording(nodes, dict.fromkeys(nodes, 0), timesteps, FLOAT64)

    def save(self, folder: Path) -> None:
        """Write the plan, its parameters and the script that runs them."""
        (folder / "plan.json").write_text(json.dumps(self._plan(), indent=1) + "\n", "utf-8")
        parameters = {f"{name}/{key}": a for name, part in self.parts.items() for key, a in part.arrays.items()}
        np.savez(folder / "parameters.npz", **parameters)  # type: ignore[arg-type]
        shutil.copyfile(WORKER, folder / "worker.py")

    def _plan(self) -> dict[str, object]:
        graph = self.graph
        nodes = [
            {
                "name": name,
                "op": "input" if name in graph.inputs else part.op,
                "shape": graph.shapes[name],
                "sources": [(source, (source, name) in graph.registers) for source in graph.predecessors[name]],
                **part.settings,
            }
            for name, part in self.parts.items()
        ]
        return {"nodes": nodes, "records": recorded_nodes(graph), "spiking": graph.spiking}
