"""Our own Lava processes: the integer definition bit for bit, and in floating point a plain loop over the neurons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from lava_plans import PlanMaker, before_reset
from numpy.typing import NDArray
from reset_nets import OwnMaker, ResetMaker, reset_case

from spikeport.deploy.lava.plan import Numbers, Plan, planned
from spikeport.deploy.loihi.engine import Engine
from spikeport.deploy.loihi.engine.definition import simulate

STEPS = 64
OWN = {"own du", "own dv", "own threshold", "own reset"}
Floats = NDArray[np.float64]


def compare(
    seeds: Sequence[int], folder: Path, maker_of: type[ResetMaker] = ResetMaker
) -> tuple[Counter[str], Counter[str]]:
    """Run random integer networks in one worker; return sums of what differs from the definition, and features."""
    maker = PlanMaker("fixed_pt")
    cases = {f"n{seed}": reset_case(seed, maker=maker_of) for seed in seeds}
    for prefix, case in cases.items():
        maker.network(prefix, case, STEPS)
    seen = maker.run(folder, STEPS)
    sums: Counter[str] = Counter(own=sum(layer.process == "own" for layer in maker.layers))
    sums["LIF"] = len(maker.layers) - sums["own"]
    features: Counter[str] = Counter()
    for prefix, case in cases.items():
        states = simulate(case.network, case.inputs, STEPS)
        v, s = ({name: getattr(state, x)[:, 0] for name, state in states.items()} for x in "vs")
        membrane = before_reset(case.network, v, s)
        engine = Engine(case.network, 1).run(case.inputs, STEPS)
        for name, state in states.items():
            got = seen[f"{prefix}-{name}"]
            expected = {"spikes": s[name], "membrane": membrane[name], "current": state.u[:, 0]}
            for kind, values in expected.items():
                sums[f"wrong {kind}"] += int(np.sum(got[kind] != values))
                sums["entries"] += values.size
            counts = [engine.wraps[name], engine.saturations[name], int(s[name].sum())]
            sums["wrong counts"] += maker.counts[f"{prefix}-{name}"] != counts
            sums.update(wraps=counts[0], held=counts[1], spikes=counts[2])
        sums["networks"] += 1
        features.update(case.features)
    return sums, features


def check(sums: Counter[str]) -> None:
    wrong = [sums[f"wrong {kind}"] for kind in ("spikes", "membrane", "current", "counts")]
    assert wrong == [0, 0, 0, 0], sums
    assert min(sums["wraps"], sums["held"]) > 100, sums
    assert sums["spikes"] > 100 * sums["networks"], sums


def test_a_dozen_random_networks_of_any_reset_are_the_definition(tmp_path: Path) -> None:
    sums, features = compare(range(500, 512), tmp_path)
    check(sums)
    assert min(sums["own"], sums["LIF"]) >= sums["networks"] // 5, sums
    assert {"no reset", "below the threshold", "above the threshold", "the most", "zero", "onset"} <= set(features)


def test_a_dozen_random_networks_of_parameters_of_their_own_are_the_definition(tmp_path: Path) -> None:
    sums, features = compare(range(600, 612), tmp_path, OwnMaker)
    check(sums)
    assert sums["own"] > sums["networks"], sums
    assert set(features) >= OWN


@pytest.mark.slow
@pytest.mark.parametrize("maker", [ResetMaker, OwnMaker])
def test_three_hundred_random_networks_of_any_reset_are_the_definition(maker: type[ResetMaker], tmp_path: Path) -> None:
    sums: Counter[str] = Counter()
    features: Counter[str] = Counter()
    for first in range(0, 300, 30):
        (folder := tmp_path / str(first)).mkdir()
        block, seen = compare(range(first, first + 30), folder, maker)
        check(block)
        sums.update(block)
        features.update(seen)
    print(dict(sums), dict(features))  # noqa: T201 - the figures that the report quotes
    assert sums["networks"] == 300
    assert set(features) >= (OWN if maker is OwnMaker else set())


def loop(x_TN: Floats, into: Floats, back: Floats, n: Numbers, onset: int) -> dict[str, Floats]:
    """Neuron after neuron: u, v before the reset, and spikes, [T, N]; every connection takes a step."""
    size = len(n.bias)
    du, dv, vth = (np.broadcast_to(getattr(n, key), size) for key in ("du", "dv", "vth"))
    u, v, s = (np.zeros(size) for _ in range(3))
    seen: dict[str, list[Floats]] = {"current": [], "membrane": [], "spikes": []}
    for t in range(len(x_TN)):
        arriving = into @ x_TN[t - 1] + back @ s if t else np.zeros(size)
        for i in range(size) if t >= onset else ():
            u[i] = u[i] * (1 - du[i]) + arriving[i]
            v[i] = v[i] * (1 - dv[i]) + u[i] + n.bias[i]
            s[i] = v[i] > vth[i]
        for kind, values in (("current", u), ("membrane", v), ("spikes", s)):
            seen[kind].append(values.copy())
        v = np.where(s > 0, 0.0 if n.reset_by is None else v - n.reset_by, v)
        if n.reset_by is None:
            seen["membrane"][-1] = v.copy()
    return {kind: np.array(rows) for kind, rows in seen.items()}


SIZE, INPUTS, ONSET = 12, 6, 3
DRAWN = np.random.default_rng(3)
DU, DV, VTH, R = (DRAWN.uniform(low, high, SIZE) for low, high in ((0.3, 1), (0.05, 0.6), (0.5, 1.5), (0.2, 2.5)))
BIAS = DRAWN.uniform(-0.02, 0.1, SIZE)
FLOAT: dict[str, tuple[Numbers, str]] = {
    "R a neuron": (Numbers(0.5, 0.2, 1.0, BIAS, reset_by=R), "own"),
    "everything a neuron": (Numbers(DU, DV, VTH, BIAS, reset_by=R), "own"),
    "decays a neuron, to zero": (Numbers(DU, DV, VTH, BIAS), "own"),
    "thresholds a neuron, no reset": (Numbers(1.0, 0.3, VTH, BIAS, reset_by=0.0), "own"),
    "one R": (Numbers(1.0, 0.1, 1.0, BIAS, reset_by=1.0 / 0.9), "own"),
    "Lava's": (Numbers(np.full(SIZE, 0.5), 0.2, np.ones(SIZE), BIAS), "LIF"),
}


def test_in_floating_point_neurons_have_parameters_of_their_own(tmp_path: Path) -> None:
    """Two samples after each other, each from the zero state and held until its onset."""
    maker = PlanMaker("floating_pt")
    rng = np.random.default_rng(5)
    x = (rng.random((2 * STEPS, INPUTS)) < 0.4).astype(np.float64)
    # Sixteenths add up without rounding, in whatever order.
    into, back = rng.integers(-6, 14, (SIZE, INPUTS)) / 16, rng.integers(-4, 5, (SIZE, SIZE)) / 16
    for i, (numbers, process) in enumerate(FLOAT.values()):
        source = maker.source(f"x{i}", x)
        name = maker.layer(f"n{i}", numbers, ONSET)
        maker.hop(source, name, into)
        maker.hop(name, name, back)
        assert maker.layers[-1].process == process
    seen = maker.run(tmp_path, STEPS, samples=2)
    for i, (name, (numbers, _)) in enumerate(FLOAT.items()):
        for sample in range(2):
            rows = slice(sample * STEPS, (sample + 1) * STEPS)
            expected = loop(x[rows], into, back, numbers, ONSET)
            assert 20 < expected["spikes"].sum() < 0.95 * STEPS * SIZE, name
            for kind, values in expected.items():
                got = seen[f"n{i}"][kind][rows]
                np.testing.assert_array_equal(got, values, err_msg=f"{name}: {kind} of sample {sample}")


def test_taking_off_the_threshold_is_another_network() -> None:
    x = (np.random.default_rng(5).random((STEPS, INPUTS)) < 0.4).astype(np.float64)
    into, back = np.full((SIZE, INPUTS), 0.3), np.zeros((SIZE, SIZE))
    ours, naive = (Numbers(1.0, 0.1, 1.0, BIAS, reset_by=r) for r in (1.0 / 0.9, 1.0))
    assert np.any(loop(x, into, back, ours, 0)["spikes"] != loop(x, into, back, naive, 0)["spikes"])


def test_a_plan_says_where_our_own_process_runs() -> None:
    layers = [planned(f"layer{i}", "floating_pt", n, {"spikes": f"node{i}"}, f"node{i}")[0]
              for i, (n, _) in enumerate(FLOAT.values())]  # fmt: skip
    assert Plan("floating_pt", [], layers, [], {}).own == [f"node{i}" for i in range(5)]
    assert layers[5].shared == {"du": 0.5, "dv": 0.2, "vth": 1.0}
    assert layers[0].shared == {"du": 0.5, "dv": 0.2, "vth": 1.0}
    assert layers[3].shared == {"du": 1.0, "dv": 0.3, "reset_by": 0.0}
