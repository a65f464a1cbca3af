"""Resets and parameters that Lava's LIF has not: hand-computed, and the same in the definition and both engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from integer_nets import IntegerCase
from reset_nets import OwnMaker, ResetMaker, reset_case
from scipy.sparse import csr_array

from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Records, Synapses
from spikeport.deploy.loihi.engine.definition import simulate
from spikeport.deploy.loihi.engine.on_torch import TorchEngine

STEPS = 64
THETA = 3 << 6
NEURON = Population("n", (1,), 4095, 2048, 3, np.zeros(1, np.int32))

# v = v / 2 + 128 from step 1 on (halves towards 0), a spike above 192: v after its reset, and the steps of the spikes.
TRACES = {
    "taking off more than the threshold": ("subtract", 501, [0, 128, 192, -277, -10, 123, 189, -279], [3, 7]),
    "taking off less": ("subtract", 100, [0, 128, 192, 124, 190, 123, 189, 122], [3, 5, 7]),
    "taking off the threshold": ("subtract", THETA, [0, 128, 192, 32, 144, 8, 132, 2], [3, 5, 7]),
    "no reset": ("subtract", 0, [0, 128, 192, 224, 240, 248, 252, 254], [3, 4, 5, 6, 7]),
    "to zero": ("zero", 0, [0, 128, 192, 0, 128, 192, 0, 128], [3, 6]),
}  # fmt: skip


def driven(population: Population) -> IntegerNetwork:
    """A neuron that an input pushes by 2 << 6 in every step but the first."""
    synapses = Synapses("x", "n", csr_array(np.array([[2]], np.int32)))
    return IntegerNetwork({"x": (1,)}, (population,), (synapses,))


def everything(case: IntegerCase, run: Callable[..., Records]) -> Records:
    names = [p.name for p in case.network.populations]
    return run(case.inputs, STEPS, u=names, v=names)


@pytest.mark.parametrize("name", TRACES)
def test_hand_computed_traces(name: str) -> None:
    reset, reset_by, v, fired = TRACES[name]
    network = driven(replace(NEURON, reset=reset, reset_by=reset_by))  # type: ignore[arg-type]
    inputs = {"x": np.ones((8, 1, 1), np.int64)}
    state = simulate(network, inputs, 8)["n"]
    assert state.v.ravel().tolist() == v
    assert np.flatnonzero(state.s).tolist() == fired
    for engine in (Engine(network, 1), TorchEngine(network)):
        records = engine.run(inputs, v=["n"])
        assert records.v["n"].ravel().tolist() == v
        assert np.flatnonzero(records.spikes["n"]).tolist() == fired


def test_hand_computed_traces_of_neurons_with_parameters_of_their_own() -> None:
    """Three neurons that the same input pushes: each has its own current, leak, threshold and reset."""
    own = [np.array(x, np.int32) for x in ([4095, 2047, 4095], [2048, 4096, 0], [3, 2, 5], [501, 0, 200])]
    names = ("du", "dv", "vth_mant", "reset_by")
    given = replace(NEURON, shape=(3,), bias_mant=np.zeros(3, np.int32), reset="subtract")
    synapses = Synapses("x", "n", csr_array(np.full((3, 1), 2, np.int32)))
    network = IntegerNetwork({"x": (1,)}, (replace(given, **dict(zip(names, own, strict=True))),), (synapses,))
    inputs = {"x": np.ones((8, 1, 1), np.int64)}
    # The second keeps half of its current: v = u = 128, 192, 224, ..., above 128. The third adds 128 and takes 200 off.
    v = [[0, 128, 192, -277, -10, 123, 189, -279], [0, 128, 192, 224, 240, 248, 252, 254],
         [0, 128, 256, 184, 312, 240, 168, 296]]  # fmt: skip
    fired = [[3, 7], [2, 3, 4, 5, 6, 7], [3, 5, 6]]
    state = simulate(network, inputs, 8)["n"]
    runs = [(state.v, state.s)]
    for engine in (Engine(network, 1), TorchEngine(network)):
        records = engine.run(inputs, v=["n"])
        runs.append((records.v["n"], records.spikes["n"]))
    for got_v, got_s in runs:
        assert got_v[:, 0].T.tolist() == v
        assert [np.flatnonzero(s).tolist() for s in got_s[:, 0].T] == fired


def compare(seeds: Iterable[int], maker: type[ResetMaker] = ResetMaker) -> tuple[Counter[str], Counter[str]]:
    """Run random networks on all three; return sums of what differs and of what happened, and features."""
    sums: Counter[str] = Counter()
    features: Counter[str] = Counter()
    for seed in seeds:
        case = reset_case(seed, maker=maker)
        plain = simulate(case.network, case.inputs, STEPS)
        records = {
            "compiled": everything(case, Engine(case.network, 1).run),
            "torch": everything(case, TorchEngine(case.network).run),
        }
        for name, state in plain.items():
            sums["entries"] += 3 * state.u.size
            for engine, got in records.items():
                for expected, kept in ((state.u, got.u), (state.v, got.v), (state.s, got.spikes)):
                    sums[f"wrong, {engine}"] += int(np.sum(kept[name].reshape(expected.shape) != expected))
        compiled = records["compiled"]
        sums["wrong counts"] += (compiled.wraps, compiled.saturations) != (
            records["torch"].wraps,
            records["torch"].saturations,
        )
        sums["other spikes, threshold taken off"] += naive_differs(case, compiled)
        sums["other spikes, the first neuron's for all"] += shared_differs(case, compiled)
        sums.update(networks=1, spikes=sum(int(state.s.sum()) for state in plain.values()))
        sums.update(wraps=sum(compiled.wraps.values()), saturations=sum(compiled.saturations.values()))
        features.update(case.features)
    return sums, features


def naive_differs(case: IntegerCase, records: Records) -> bool:
    """Whether taking the threshold off instead gives other spikes."""
    naive = [replace(p, reset_by=p.vth_mant << 6 if p.reset == "subtract" else 0) for p in case.network.populations]
    return others(case, naive, records)


def shared_differs(case: IntegerCase, records: Records) -> bool:
    """Whether giving all neurons of a population the first one's parameters gives other spikes."""
    first = [{name: int(values[0]) for name, values in p.unlike.items()} for p in case.network.populations]
    return others(case, [replace(p, **x) for p, x in zip(case.network.populations, first, strict=True)], records)


def others(case: IntegerCase, naive: Sequence[Population], records: Records) -> bool:
    got = Engine(replace(case.network, populations=tuple(naive)), 1).run(case.inputs, STEPS).spikes
    return any(not np.array_equal(got[name], spikes) for name, spikes in records.spikes.items())


def check(sums: Counter[str], features: Counter[str], each: int) -> None:
    assert (sums["wrong, compiled"], sums["wrong, torch"], sums["wrong counts"]) == (0, 0, 0), sums
    assert min(sums["spikes"], sums["saturations"], sums["wraps"]) > 1000, sums
    assert sums["other spikes, threshold taken off"] > sums["networks"] // 5, sums
    resets = {"zero", "no reset", "below the threshold", "the threshold", "above the threshold", "the most"}
    wanted = resets | {"onset", "constant", "recurrent", "graded", "bias", "no current"}
    assert all(features[feature] >= each for feature in wanted), features


def test_forty_random_networks_are_the_same_in_the_definition_and_both_engines() -> None:
    check(*compare(range(40)), each=4)


OWN = {"own du", "own dv", "own threshold", "own reset"}


def test_forty_random_networks_whose_neurons_have_parameters_of_their_own() -> None:
    sums, features = compare(range(600, 640), OwnMaker)
    check(sums, features, each=4)
    assert all(features[feature] >= 10 for feature in OWN), features
    assert sums["other spikes, the first neuron's for all"] > 25, sums


@pytest.mark.slow
def test_three_hundred_random_networks_whose_neurons_have_parameters_of_their_own() -> None:
    sums, features = compare(range(600, 900), OwnMaker)
    print(dict(sums), dict(features))  # noqa: T201 - the figures that the report quotes
    check(sums, features, each=30)
    assert all(features[feature] >= 75 for feature in OWN), features


@pytest.mark.slow
def test_three_hundred_random_networks_are_the_same_in_the_definition_and_both_engines() -> None:
    sums, features = compare(range(300))
    print(dict(sums), dict(features))  # noqa: T201 - the figures that the report quotes
    assert sums["networks"] == 300
    check(sums, features, each=30)
