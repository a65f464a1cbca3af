"""The compiled engine computes what the plain definition computes: every u, v and s."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_nets import IntegerCase, integer_case
from numba import njit, types
from scipy.sparse import csr_array

from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Records, Synapses, lanes, membrane
from spikeport.deploy.loihi.engine.definition import decayed, simulate
from spikeport.deploy.loihi.engine.layout import BLOCKS8, KIND, LIST16, ROWS8, ROWS16
from spikeport.errors import UsageError


def run_all(case: IntegerCase, steps: int, threads: int = 1) -> Records:
    names = [p.name for p in case.network.populations]
    return Engine(case.network, threads).run(case.inputs, steps, u=names, v=names)


def differences(case: IntegerCase, got: Records, steps: int) -> int:
    expected = simulate(case.network, case.inputs, steps)
    wrong = 0
    for population in case.network.populations:
        state = expected[population.name]
        for plain, compiled in ((state.u, got.u), (state.v, got.v), (state.s, got.spikes)):
            wrong += int(np.sum(plain.reshape(compiled[population.name].shape) != compiled[population.name]))
    return wrong


def test_two_hundred_random_networks_have_the_same_u_v_and_s() -> None:
    seen: Counter[str] = Counter()
    kinds: set[int] = set()
    spikes = wraps = saturations = 0
    for seed in range(200):
        case = integer_case(seed, steps=20, batch=2, extensions=True)
        records = run_all(case, 24)
        assert differences(case, records, 24) == 0, f"seed {seed}"
        seen.update(case.features)
        kinds |= set(Engine(case.network).layout.tables.connections[:, KIND].tolist())
        spikes += sum(int(s.sum()) for s in records.spikes.values())
        wraps += sum(records.wraps.values())
        saturations += sum(records.saturations.values())
    assert min(seen.values()) >= 3, seen
    assert kinds == {ROWS8, BLOCKS8, ROWS16, LIST16}
    assert spikes > 10_000
    assert wraps > 1000
    assert saturations > 1000


def test_the_difference_would_be_seen() -> None:
    case = driven()
    records = run_all(case, 20)
    assert records.spikes["n"].any()
    first = case.network.populations[0]
    subtract = {"reset": "subtract", "reset_by": 300 << 6}
    for change in ({"du": 999}, {"dv": 299}, {"vth_mant": 350}, {"onset": 2}, {"bias_exp": 1}, subtract):
        altered = replace(case.network, populations=(replace(first, **change),))
        assert differences(replace(case, network=altered), records, 20) > 0, change


def driven() -> IntegerCase:
    rng = np.random.default_rng(0)
    population = Population("n", (40,), 1000, 300, 300, np.full(40, 700, dtype=np.int32))
    weight = csr_array(rng.integers(-40, 60, (40, 30)))
    network = IntegerNetwork({"x": (30,)}, (population,), (Synapses("x", "n", weight),))
    return IntegerCase(network, {"x": (rng.random((20, 2, 30)) < 0.3).astype(np.int64)})


def _emit_decay(builder: object, pointers: list[object], numbers: list[object]) -> None:
    x, keep = lanes.Memory(builder, pointers[0], numbers[0]), lanes.filled(builder, numbers[1], 16)
    x.store(membrane.decayed(x.load(16), keep))


decay_16 = lanes.kernel(_emit_decay, 1, (types.int64, types.int32))


@njit
def compiled_decay(x: np.ndarray, keep: np.int32) -> None:
    for i in range(0, x.size, 16):
        decay_16(x, i, keep)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1), st.integers(0, 4096))
@settings(deadline=None, max_examples=300)
def test_a_decay_is_exact_for_every_32_bit_state(states: list[int], keep: int) -> None:
    got = np.array(states + [0] * (-len(states) % 16), np.int32)
    compiled_decay(got, np.int32(keep))
    exact = [abs(x) * keep >> 12 if x > 0 else -(abs(x) * keep >> 12) for x in states]
    assert got[: len(states)].tolist() == exact
    assert decayed(np.array(states), keep).tolist() == exact


def test_u_beyond_its_bits_is_lavas_int32_and_is_counted() -> None:
    """7 x 255 << 7 << 6 a step: u wraps once a step, then leaves 24 bits, and 32."""
    population = Population("n", (3,), 0, 0, 2**17 - 1, np.zeros(3, np.int32))
    network = IntegerNetwork({"x": (7,)}, (population,), (Synapses("x", "n", csr_array(np.full((3, 7), 255)), 7),))
    case = IntegerCase(network, {"x": np.full((40, 1, 7), 200, dtype=np.int64)})
    records = run_all(case, 40)
    assert differences(case, records, 40) == 0
    assert np.abs(records.u["n"].astype(np.int64)).max() > 2**24
    assert records.wraps["n"] > 60


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_sample_is_the_same_alone_beside_others_and_on_any_thread(threads: int) -> None:
    case = integer_case(11, steps=30, batch=19)
    together = run_all(case, 30, threads)
    alone = run_all(replace(case, inputs={n: x[:, 17:18] for n, x in case.inputs.items()}), 30)
    for name, spikes in alone.spikes.items():
        np.testing.assert_array_equal(together.spikes[name][:, 17:18], spikes)
        np.testing.assert_array_equal(together.v[name][:, 17:18], alone.v[name])


def test_more_events_than_sixteen_bits_hold_at_once() -> None:
    """1000 inputs, all firing, all weights 254: 16-bit sums would run over."""
    population = Population("n", (70,), 4095, 4096, 2**17 - 1, np.zeros(70, np.int32))
    network = IntegerNetwork({"x": (1000,)}, (population,), (Synapses("x", "n", csr_array(np.full((70, 1000), 254))),))
    records = Engine(network).run({"x": np.ones((2, 1, 1000), np.uint8)}, u=["n"])
    assert set(np.unique(records.u["n"][1])) == {-(2**24) + 254 * 1000 * 64}


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_the_type_of_the_input_does_not_matter(kind: type) -> None:
    case = integer_case(5, steps=20, batch=3)
    spikes = {n: (x != 0).astype(np.int64) for n, x in case.inputs.items()}
    expected = run_all(replace(case, inputs=spikes), 20)
    got = run_all(replace(case, inputs={n: x.astype(kind) for n, x in spikes.items()}), 20)
    for name, values in expected.v.items():
        np.testing.assert_array_equal(got.v[name], values)


def test_bytes_beyond_1_are_numbers() -> None:
    case = integer_case(5, steps=20, batch=3)
    counts = {n: np.abs(x) % 7 for n, x in case.inputs.items()}
    case = replace(case, inputs={n: x + (np.arange(x.size).reshape(x.shape) % 5 == 0) * 3 for n, x in counts.items()})
    as_bytes = replace(case, inputs={n: x.astype(np.uint8) for n, x in case.inputs.items()})
    assert differences(case, run_all(as_bytes, 20), 20) == 0


def test_only_what_is_asked_for_is_kept() -> None:
    case = integer_case(7, steps=12, batch=5)
    name = case.network.populations[-1].name
    all_ = Engine(case.network).run(case.inputs)
    some = Engine(case.network).run(case.inputs, spikes=[name], v=[name])
    assert set(some.spikes) == {name}
    assert set(some.v) == {name}
    assert some.u == {}
    np.testing.assert_array_equal(some.spikes[name], all_.spikes[name])


NEURON = Population("n", (2,), 4095, 0, 100, np.zeros(2, np.int32))


def network(population: Population = NEURON, weight: object = ((2, 4, 6), (8, -2, 0)), **more: int) -> IntegerNetwork:
    synapses = Synapses("x", "n", csr_array(np.asarray(weight)), **more)
    return IntegerNetwork({"x": (3,)}, (population,), (synapses,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(weight=((300, 0, 0), (0, 0, 0))), "a weight is 300, Loihi's are -256 to 255"),
        (lambda: network(weight=((0.5, 0, 0), (0, 0, 0))), "their weights are float64"),
        (lambda: network(weight=((1, 2), (3, 4))), r"not \(2, 3\)"),
        (lambda: network(weight_exp=9), "weight_exp is 9"),
        (lambda: network(wait=-1), "wait is -1"),
        (lambda: network(replace(NEURON, vth_mant=2**17)), "vth_mant 131072"),
        (lambda: network(replace(NEURON, du=4096)), "du 4096"),
        (
            lambda: network(replace(NEURON, reset="subtract", reset_by=2**23)),
            "reset_by 8388608: Loihi's is 0 to 8388607",
        ),
        (lambda: network(replace(NEURON, reset="subtract", reset_by=-1)), "reset_by -1"),
        (lambda: network(replace(NEURON, reset_by=5)), "reset_by 5: a reset to zero takes nothing off"),
        (lambda: network(replace(NEURON, bias_mant=np.array([0, 5000]))), "bias_mant 5000"),
        (lambda: network(replace(NEURON, bias_mant=np.zeros(3))), "bias_mant of shape .3,.: it has 2 neurons"),
        (lambda: network(replace(NEURON, du=np.array([0, 4096]))), "du 4096"),
        (lambda: network(replace(NEURON, dv=np.array([[1], [2]]))), "dv of shape .2, 1.: it has 2 neurons"),
        (lambda: network(replace(NEURON, name="other")), "no such input or population"),
        (lambda: network(replace(NEURON, name="x")), "share a name"),
    ],
)
def test_what_loihi_has_not_is_refused(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((5, 1, 3), 0.5), "not whole numbers"),
        (np.zeros((5, 1, 4)), r"not \[T, B, \*\(3,\)\]"),
        (np.full((5, 1, 3), np.nan), "beyond 32 bits"),
        (np.full((5, 1, 3), 2.0**40), "beyond 32 bits"),
    ],
)
def test_an_input_that_no_chip_takes_is_refused(x: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Engine(network()).run({"x": x})
