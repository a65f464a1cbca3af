# norse is installed in the isolated environment alone.
# mypy: disable-error-code="import-not-found"
"""Imports a NIR file with norse and runs it: `python worker.py FOLDER`.

Runs in the isolated environment: numpy, torch, nir, nirtorch and norse only. FOLDER holds `graph.nir`,
`run.json` and `inputs.npz`; `records.npz` is written there.

norse's importer makes the modules. nirtorch's executor takes only one input and may run a sum before its
terms are there, so the modules are called here, in the order of the plan, and edges into a node are summed.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Network:
    """The imported modules and the plan's order."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        import nir
        import norse.torch

        graph = nir.read(folder / "graph.nir", type_check=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            model = norse.torch.from_nir(graph, dt=plan["dt_s"])
        self.plan = plan
        self.neurons = set(plan["neurons"])
        self.inputs = set(plan["inputs"])
        self.modules = {name: model.get_submodule(name) for name in plan["order"] if name not in self.inputs}
        self.sources = {name: plan["sources"][name] for name in plan["order"]}

    def run(self, inputs: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Yield every recorded node's output, step by step, for inputs [T, B, *shape]."""
        states: dict[str, Any] = dict.fromkeys(self.neurons)
        first = next(iter(inputs.values()))
        before = self.initial(first.shape[1])
        for step in range(len(first)):
            now = {name: x[step] for name, x in inputs.items()}
            for name in self.plan["order"]:
                if name in self.inputs:
                    continue
                arriving = sum((before if register else now)[source] for source, register in self.sources[name])
                if name in self.neurons:
                    now[name], states[name] = self.modules[name](arriving, states[name])
                else:
                    now[name] = self.modules[name](arriving)
            before = now
            yield {name: now[name] for name in self.plan["records"]}

    def initial(self, batch: int) -> dict[str, Tensor]:
        """Return y[-1]: 0 for neurons and inputs, and what stateless nodes give from those."""
        import torch

        outputs = {name: torch.zeros(batch, *shape) for name, shape in self.plan["shapes"].items()}
        for name in self.plan["order"]:
            if name not in self.inputs and name not in self.neurons:
                outputs[name] = self.modules[name](sum(outputs[source] for source, _ in self.sources[name]))
        return outputs


def main(folder: Path) -> None:
    """Run the request in `folder`."""
    import torch

    plan = json.loads((folder / "run.json").read_text())
    network = Network(folder, plan)
    with np.load(folder / "inputs.npz") as stored:
        inputs = dict(stored)
    samples = next(iter(inputs.values())).shape[1]
    records: dict[str, list[np.ndarray]] = {name: [] for name in plan["records"]}
    with torch.no_grad():
        for start in range(0, samples, plan["batch"]):
            part = {n: torch.from_numpy(x[:, start : start + plan["batch"]]).float() for n, x in inputs.items()}
            rows = list(network.run(part))
            for name in records:
                records[name].append(torch.stack([row[name] for row in rows]).numpy())
    joined = {name: np.concatenate(parts, axis=1) for name, parts in records.items()}
    spikes = {name: values.astype(np.uint8) if name in network.neurons else values for name, values in joined.items()}
    np.savez(folder / "records.npz", allow_pickle=False, **spikes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
