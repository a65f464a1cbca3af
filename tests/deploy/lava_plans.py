"""Plans for the Lava worker made by hand, run as it is run, and what its processes recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from integer_nets import IntegerCase
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.lava.plan import Kept, Numbers, Plan, PlannedHop, PlannedLayer, PlannedSource, Tag, planned
from spikeport.deploy.lava.program import ENVIRONMENT, WORKER
from spikeport.deploy.loihi.engine import IntegerNetwork, Population

Rows = NDArray[np.generic]
KINDS: tuple[Kept, ...] = ("spikes", "membrane", "current")


class PlanMaker:
    """Collects populations and connections; parts that nothing joins are networks of their own."""

    def __init__(self, tag: Tag) -> None:
        self.tag = tag
        self.sources: dict[str, tuple[PlannedSource, Rows]] = {}
        self.layers: list[PlannedLayer] = []
        self.hops: list[PlannedHop] = []
        self.arrays: dict[str, Rows] = {}
        self.counts: dict[str, list[int]] = {}

    def source(self, name: str, rows_TN: Rows) -> str:
        self.sources[name] = (PlannedSource(name, name, 0, rows_TN.shape[1]), rows_TN)
        return name

    def layer(self, name: str, numbers: Numbers, onset: int = 0, kinds: Sequence[Kept] = KINDS) -> str:
        layer, arrays = planned(name, self.tag, numbers, dict.fromkeys(kinds, name), name, onset)
        self.layers.append(layer)
        self.arrays |= arrays
        return name

    def hop(self, source: str, target: str, weight: object, exponent: int = 0, wait: int = 0) -> None:
        name = f"hop{len(self.hops)}"
        matrix = csr_array(weight)
        rows, columns = (int(n) for n in matrix.shape)
        self.hops.append(PlannedHop(name, source, target, wait, (rows, columns), exponent, 24))
        self.arrays |= {f"{part}-{name}": getattr(matrix, part) for part in ("data", "indices", "indptr")}

    def network(self, prefix: str, case: IntegerCase, steps: int) -> None:
        """Add an integer network with the first sample of its inputs."""
        for name, x in case.inputs.items():
            self.source(f"{prefix}-{name}", x[:, 0].reshape(len(x), -1).astype(np.int32))
        self.source(f"{prefix}-one", np.ones((steps, 1), np.int32))
        for p in case.network.populations:
            self.layer(f"{prefix}-{p.name}", _numbers(p), p.onset)
            if p.constant is not None:
                exponent = next(e for e in range(7, -1, -1) if not np.any(p.constant % (2 << e)))
                self.hop(f"{prefix}-one", f"{prefix}-{p.name}", p.constant[:, None] >> exponent, exponent)
        for i, s in enumerate(case.network.synapses):
            source, wait = f"{prefix}-{s.source}", s.wait
            if s.source in case.inputs:
                source, wait = self.source(f"{source}-{i}", shifted(self.sources[source][1], s.wait)), 0
            self.hop(source, f"{prefix}-{s.target}", s.weight.astype(np.int32), s.weight_exp, wait)

    def run(self, folder: Path, steps: int, samples: int = 1) -> dict[str, dict[str, Rows]]:
        """Run `samples` of `steps` steps after each other; return the records by layer and kind."""
        heard = {hop.source for hop in self.hops}
        kept = {name: made for name, made in self.sources.items() if name in heard}
        plan = Plan(self.tag, [made for made, _ in kept.values()], self.layers, self.hops, self.arrays)
        plan.save(folder)
        request = {"steps": steps * samples, "period": steps, "stop": steps, "copies": 1}
        (folder / "run.json").write_text(json.dumps(request), "utf-8")
        for name, (_, rows) in kept.items():
            np.save(folder / f"{name}.npy", rows)
        ENVIRONMENT.run(WORKER / "main.py", folder)
        self.counts = {layer.name: np.load(folder / f"counts-{layer.name}.npy").tolist() for layer in self.layers}
        return {
            layer.name: {kind: np.load(folder / f"record-{layer.name}-{kind}.npy") for kind in layer.records}
            for layer in self.layers
        }


def _numbers(p: Population) -> Numbers:
    reset_by = p.reset_by if p.reset == "subtract" else None
    return Numbers(p.du, p.dv, p.vth_mant, p.bias_mant, p.bias_exp, reset_by)


def shifted(rows: Rows, steps: int) -> Rows:
    """Return rows `steps` later, in as many steps."""
    later = np.zeros_like(rows)
    later[steps:] = rows[: len(rows) - steps]
    return later


def before_reset(network: IntegerNetwork, v: Mapping[str, Rows], s: Mapping[str, Rows]) -> dict[str, Rows]:
    """Return what a record of the membrane holds: v before a subtraction, after a reset to zero."""
    return {
        p.name: v[p.name] + p.reset_by * s[p.name] if p.reset == "subtract" else v[p.name] for p in network.populations
    }
