"""Counted traffic against SANA-FE, a simulator by others, that replays the same spikes on the same placement."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from integer_nets import integer_case

from spikeport.deploy.isolated import Environment
from spikeport.deploy.loihi.engine import Engine, IntegerNetwork
from spikeport.deploy.loihi.mapper.chip import Chip, load
from spikeport.deploy.loihi.mapper.place import place
from spikeport.deploy.loihi.mapper.placement import Placement
from spikeport.deploy.loihi.mapper.traffic import traffic
from spikeport.errors import UnavailableError

ORACLE = Path(__file__).parent / "sanafe_oracle"
STEPS = 12


@dataclass(frozen=True)
class Sanafe(Environment):
    """Its list lies beside the test: no part of the product needs it."""

    @property
    def requirements(self) -> str:
        """The pinned list."""
        return (ORACLE / "pins.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def sanafe() -> Sanafe:
    environment = Sanafe("sanafe")
    try:
        environment.interpreter()
    except UnavailableError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"sanafe cannot be installed here: {error}")
    return environment


def small_cores() -> Chip:
    """Loihi 1 with few neurons a core, so that little networks cross many."""
    one = load("loihi1")
    return replace(
        one,
        limits=replace(
            one.limits,
            compartments=replace(one.limits.compartments, value=9),
            formats=replace(one.limits.formats, value=None),
        ),
    )


def request(placed: Placement, network: IntegerNetwork, spikes: dict[str, np.ndarray]) -> dict[str, object]:
    """Put inputs on the cores after those in use, at most 1024 on one."""
    free = placed.cores
    groups = {}
    for name, x in spikes.items():
        rows = (x.reshape(STEPS, -1) != 0).astype(int).T.tolist()
        cores = placed.core_of.get(name)
        groups[name] = {
            "cores": cores.tolist() if cores is not None else [free + i // 1024 for i in range(len(rows))],
            "spikes": rows,
        }
        free += 0 if cores is not None else -(-len(rows) // 1024)
    connections = []
    for s in network.synapses:
        weight = s.weight.tocoo()
        connections.append((s.source, s.target, np.stack(weight.coords[::-1], axis=1).tolist()))
    return {"steps": STEPS, "groups": groups, "connections": connections}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_the_same_messages_hops_and_synaptic_operations(seed: int, sanafe: Sanafe, tmp_path: Path) -> None:
    case = integer_case(seed, steps=STEPS)
    placed = place(case.network, small_cores())
    spikes = {**Engine(case.network, 1).run(case.inputs, STEPS).spikes, **case.inputs}
    counted = traffic(placed, spikes)
    (tmp_path / "request.json").write_text(json.dumps(request(placed, case.network, spikes)), "utf-8")
    sanafe.run(ORACLE / "worker.py", tmp_path)
    answer = json.loads((tmp_path / "answer.json").read_text("utf-8"))
    theirs: Counter[tuple[str, str, int]] = Counter()
    for source, step, here, there, synops, hops in answer["messages"]:
        inside = source in placed.core_of
        kind = "injected" if not inside else "within" if here == there else "crossing"
        theirs[source, kind, step] += 1
        theirs[source, "synops", step] += synops
        theirs[source, "hops", step] += hops if inside else 0
    ours: Counter[tuple[str, str, int]] = Counter()
    for source, of in counted.events.items():
        for kind in ("injected", "within", "crossing", "synops", "hops_x", "hops_y"):
            for step in range(STEPS):
                ours[source, kind.partition("_")[0], step + 1] += int(of[kind][step].sum())
    assert +ours == +theirs
    assert answer["synops"] == sum(of["synops"] for of in counted.events.values())[:, 0].tolist()
    fitted = next(c for c in load("loihi1").costs if c.name == "SANA-FE")
    assert answer["energy_j"]["synapse"] * 1e12 == pytest.approx(counted.total("synops") * fitted.synop_pj)


def test_what_the_seeds_cover() -> None:
    sizes = [place(integer_case(seed).network, small_cores()).cores for seed in range(10)]
    assert max(sizes) > 20
    assert max(sizes) < 120, "inputs need cores too"
