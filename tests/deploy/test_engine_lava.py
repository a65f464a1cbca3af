"""The engine against lava-nc 0.10.0 itself: its own processes, unmodified, give the same u, v and s in every step."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lava_oracle import GRADED, Job, Wire, run_lava
from lava_oracle.cases import as_stored, compare, conv_job, differences, engine_run, job_of, random_job
from scipy.sparse import csr_array

from spikeport.deploy.lava.program import ENVIRONMENT
from spikeport.deploy.loihi.engine import IntegerNetwork, Population, Synapses
from spikeport.deploy.loihi.weights import stored_weights
from spikeport.errors import UsageError

WEIGHTS_WORKER = Path(__file__).parent / "lava_oracle" / "weights_worker.py"
SEEDS = range(1000, 1012)


def test_a_dozen_random_networks_are_lava_in_every_u_v_and_s(tmp_path: Path) -> None:
    sums, features = compare([random_job(seed) for seed in SEEDS], tmp_path)
    assert sums["wrong"] == 0, sums
    assert sums["spikes"] > 1000
    assert {"dense", "sparse", "conv", "recurrent", "delay", "weight bits", "bias"} <= set(features)


@pytest.mark.slow
def test_three_hundred_random_networks_are_lava_in_every_u_v_and_s(tmp_path: Path) -> None:
    sums: Counter[str] = Counter()
    features: Counter[str] = Counter()
    for first in range(0, 300, 30):
        folder = tmp_path / str(first)
        folder.mkdir()
        block, seen = compare([random_job(seed) for seed in range(first, first + 30)], folder)
        assert block["wrong"] == 0, f"seeds {first} to {first + 29}: {block}"
        sums.update(block)
        features.update(seen)
    print(dict(sums), dict(features))  # noqa: T201 - the figures that the report quotes
    assert sums["networks"] == 300
    assert min(sums["wraps"], sums["saturations"], sums["spikes"]) > 10_000
    wanted = {
        "graded",
        "delay",
        "recurrent",
        "long loop",
        "several sources",
        "threshold 0",
        "huge exponent",
        "one sign",
    }
    assert all(features[feature] >= 10 for feature in wanted), features


def test_lavas_conv_is_the_unrolled_matrix(tmp_path: Path) -> None:
    sums, _ = compare([conv_job(seed) for seed in range(3)], tmp_path)
    assert sums["wrong"] == 0, sums
    assert sums["spikes"] > 1000


@pytest.mark.slow
def test_forty_networks_of_lavas_conv(tmp_path: Path) -> None:
    sums, _ = compare([conv_job(seed) for seed in range(100, 140)], tmp_path)
    assert sums["wrong"] == 0, sums
    assert sums["spikes"] > 10_000


def small(weight: object, weight_exp: int = 0, payload: int = 1) -> Job:
    """One layer of neurons that keep no current and never fire: u is what arrives."""
    population = Population("n", (2,), 4095, 4096, 2**17 - 1, np.zeros(2, np.int32))
    synapses = Synapses("x", "n", csr_array(np.asarray(weight)), weight_exp)
    network = IntegerNetwork({"x": (2,)}, (population,), (synapses,))
    return Job(network, {"x": np.full((3, 2), payload)}, (Wire("dense", GRADED),), 4)


def as_conv(job: Job) -> Job:
    """The same weights as the 1 x 1 kernels of Lava's Conv."""
    kernels = job.network.synapses[0].weight.toarray().astype(np.int32)[:, :, None, None]
    settings = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "image": (2, 1, 1)}
    return replace(job, wires=(Wire("conv", GRADED, 3, conv=settings | {"kernels": kernels}),))


def test_where_lavas_conv_differs_from_dense(tmp_path: Path) -> None:
    """It ignores weight_exp and num_weight_bits, and its sum wraps at 24 bits before the shift."""
    weight = ((3, -6), (254, 255))
    shifted, large = small(weight, weight_exp=3), small(weight, payload=2**16)
    plain, conv, dense_large, conv_large = run_lava([shifted, as_conv(shifted), large, as_conv(large)], tmp_path)
    assert plain.u["n"][1].tolist() == [(2 - 6) * 8 * 64, (254 + 254) * 8 * 64]
    assert conv.u["n"][1].tolist() == [(3 - 6) * 64, (254 + 255) * 64]
    total = (254 + 254) * 2**16
    assert dense_large.u["n"][1, 1] == wrapped(np.int64(total << 6).astype(np.int32))
    total = (254 + 255) * 2**16
    assert conv_large.u["n"][1, 1] == wrapped(np.int64(((total + 2**23) % 2**24 - 2**23) << 6).astype(np.int32))


def wrapped(u: np.int32) -> int:
    """Lava's one wrap of u."""
    return int(u) - 2**24 * (u > 2**23) + 2**24 * (u <= -(2**23))


def test_dense_sparse_and_delay_dense_are_one_connection(tmp_path: Path) -> None:
    case, job = random_job(1003)
    jobs = [
        replace(job, wires=[replace(wire, kind=kind) for wire in job.wires]) for kind in ("dense", "sparse", "delay")
    ]
    ours = engine_run(case, as_stored(job))
    for seen in run_lava(jobs, tmp_path):
        wrong, entries = differences(ours, seen)
        assert (wrong, entries > 10_000) == (0, True)


def test_lavas_own_monitors_see_what_was_copied_out(tmp_path: Path) -> None:
    case, job = random_job(1001)
    name = job.network.populations[-1].name
    (seen,) = run_lava([job_of(case, job.wires, [(name, "u"), (name, "v"), (name, "s_out")])], tmp_path)
    for variable, values in (("u", seen.u), ("v", seen.v), ("s_out", seen.s)):
        np.testing.assert_array_equal(seen.monitored[name, variable], values[name])
        assert np.any(values[name])


def test_a_difference_would_be_seen(tmp_path: Path) -> None:
    case, job = next(pair for pair in map(random_job, SEEDS) if "odd weights" in pair[0].features)
    (seen,) = run_lava([job], tmp_path)
    assert differences(engine_run(case, as_stored(job)), seen)[0] == 0
    assert differences(engine_run(case, job.network), seen)[0] > 0


def test_stored_weights_are_lavas(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = {}
    for i in range(30):
        low, high = sorted(rng.integers(-300, 301, 2))
        weight = rng.integers(low, high + 1, rng.integers(1, 9, 2)) * (rng.random() < 0.95)
        for bits in range(1, 9):
            given |= {f"{i}-{bits}-{sign}": weight for sign in ("auto", "mixed", "excitatory", "inhibitory")}
    np.savez(tmp_path / "weights.npz", **given)
    ENVIRONMENT.run(WEIGHTS_WORKER, tmp_path)
    with np.load(tmp_path / "stored.npz") as stored:
        for name, weight in given.items():
            _, bits, sign = name.split("-")
            ours = stored_weights(csr_array(weight), int(bits), None if sign == "auto" else sign)  # type: ignore[arg-type]
            np.testing.assert_array_equal(ours.toarray(), stored[name], err_msg=f"{name}: {weight}")


def test_weights_are_stored_beside_what_they_came_from() -> None:
    weight = csr_array(np.array([[3, -5], [1, 0]]))
    assert stored_weights(weight).toarray().tolist() == [[2, -6], [0, 0]]
    assert weight.toarray().tolist() == [[3, -5], [1, 0]]


def test_weight_bits_that_loihi_has_not_are_refused() -> None:
    with pytest.raises(UsageError, match="num_weight_bits 9: Loihi's weights have 1 to 8 bits"):
        stored_weights(csr_array(np.eye(2, dtype=int)), 9)
