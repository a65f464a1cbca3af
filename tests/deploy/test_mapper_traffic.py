"""Counted traffic against a walk over single spikes, and costs computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from integer_nets import integer_case
from mapper_nets import COSTS, chip, connect, placed_or_refused, population, walk, where, with_small_resets

from spikeport.deploy.loihi.engine import Engine, IntegerNetwork
from spikeport.deploy.loihi.mapper import traffic as module
from spikeport.deploy.loihi.mapper.chip import load
from spikeport.deploy.loihi.mapper.cost import energy, step_time
from spikeport.deploy.loihi.mapper.mapping import map_network
from spikeport.deploy.loihi.mapper.place import place
from spikeport.deploy.loihi.mapper.placement import UnplacedError
from spikeport.deploy.loihi.mapper.show import lines
from spikeport.deploy.loihi.mapper.traffic import KINDS, core_synops, traffic
from spikeport.errors import UsageError


def test_every_event_of_random_networks() -> None:
    seen = dict.fromkeys(KINDS, 0)
    for seed in range(40):
        case = integer_case(seed, steps=5, batch=2, extensions=True)
        case.network = with_small_resets(case.network)
        on = chip(cores=6, compartments=20, in_axons=150, populations=(None, 1, 3)[seed % 3], formats=None)
        placed = placed_or_refused(case.network, on)
        if isinstance(placed, UnplacedError):
            continue
        spikes = {**Engine(case.network, 1).run(case.inputs, 5).spikes, **case.inputs}
        expected = walk(placed, case.network, spikes)
        counted = traffic(placed, spikes)
        for source, of in counted.events.items():
            for kind in KINDS:
                by_hand = np.zeros((5, 2), np.int64)
                for (name, t, b), amount in expected.get(kind, {}).items():
                    by_hand[t, b] += amount if name == source else 0
                np.testing.assert_array_equal(of[kind], by_hand, f"{source}, {kind}, seed {seed}")
        for kind in KINDS:
            assert counted.total(kind) == sum(expected.get(kind, {}).values())
            seen[kind] += counted.total(kind)
        (synops,) = core_synops(placed, spikes)
        assert int(synops.sum()) == counted.total("synops")
    assert min(seen.values()) > 0, seen


def chain() -> tuple[IntegerNetwork, dict[str, np.ndarray]]:
    """Two inputs to two neurons, those to two more; spikes of two steps and one sample."""
    ones = np.full((2, 2), 2)
    network = IntegerNetwork(
        {"x": (2,)}, (population("a", 2), population("b", 2)), (connect("x", "a", ones), connect("a", "b", ones))
    )
    x, a, b = (np.array(rows, np.uint8)[:, None, :] for rows in ([[1, 1], [0, 0]], [[0, 1], [1, 1]], [[0, 0], [0, 1]]))
    return network, {"x": x, "a": a, "b": b}


def test_energy_and_time_by_hand() -> None:
    network, spikes = chain()
    # One neuron a core, two cores a tile: a on tile (0, 0), b on tile (0, 1).
    placed = place(network, chip(compartments=1))
    assert where(placed) == {("a", 0): 0, ("a", 1): 1, ("b", 0): 2, ("b", 1): 3}
    counted = traffic(placed, spikes)
    totals = {kind: counted.total(kind) for kind in KINDS}
    assert totals == {
        "spikes": 6, "synops": 10, "within": 0, "crossing": 6, "injected": 4, "between_chips": 0, "hops_x": 0,
        "hops_y": 6,
    }  # fmt: skip
    found = energy(placed, counted)
    assert found is not None
    events = 10 * 100 + 4 * 1000 + (6 + 4) * 0.5 + 6 * 0.125
    assert found.per_sample_pj == found.low_pj == events + 4 * 10 + 4 * 1
    assert found.high_pj == events + 8 * 10
    assert found.kind == "estimated"
    timed = step_time(placed, spikes)
    assert timed is not None
    # The busiest core is sent 2 synaptic operations in either step.
    assert timed.low_ns == 2 * 2 + 1 + 7
    assert timed.high_ns == timed.worst_ns == 2 * 2 + 3 + 9


def test_the_range_spans_all_sets_of_constants() -> None:
    network, spikes = chain()
    dear = replace(COSTS, name="dear", synop_pj=1e4, times=None)
    placed = place(network, replace(chip(), costs=(COSTS, dear)))
    found = energy(placed, traffic(placed, spikes))
    assert found is not None
    assert (found.nominal, len(found.sources)) == ("test", 2)
    assert found.low_pj == found.per_sample_pj < 1e4 < found.high_pj


def test_blocks_of_samples_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, spikes = chain()
    many = {name: np.tile(x, (1, 7, 1)) for name, x in spikes.items()}
    placed = place(network, chip(compartments=1))
    (whole,) = core_synops(placed, many)
    monkeypatch.setattr(module, "CORE_STEPS", 16)
    blocks = list(core_synops(placed, many))
    assert len(blocks) == 4
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)


def test_records_that_do_not_fit_are_refused() -> None:
    network, spikes = chain()
    placed = place(network, chip())
    with pytest.raises(UsageError, match="spikes of 'b'"):
        traffic(placed, {"x": spikes["x"], "a": spikes["a"]})
    with pytest.raises(UsageError, match=r"expected \(2, 1, 2\)"):
        traffic(placed, {**spikes, "b": spikes["b"][:1]})
    with pytest.raises(UsageError, match=r"expected \(2, 1, 2\)"):
        traffic(placed, {**spikes, "b": spikes["b"][..., :1]})


def test_loihi_2_gets_counts_and_no_energy() -> None:
    network, spikes = chain()
    mapping = map_network(network, load("loihi2"), "core", 8, spikes)
    assert mapping.fits
    assert mapping.energy is None
    assert mapping.missing["energy"] == "no energy per operation is published for Loihi 2"
    assert mapping.crossing() == 3
    shown = "\n".join(lines({"loihi2": mapping}))
    assert "no energy per operation is published" in shown
    assert "2 of 128" in shown


def test_what_does_not_fit_is_said_and_shown() -> None:
    network, spikes = chain()
    many = map_network(network, chip(cores=1, compartments=1), "core", 8, spikes)
    assert not many.fits
    assert (many.chips, len(many.cores)) == (4, 4)
    assert many.traffic is not None
    assert many.traffic["a"].between_chips == 6
    assert "layer 'a': it is the first beyond the last core, and the network needs 4 cores, there are 1" in str(
        lines({"loihi1": many})
    )
    none = map_network(network, chip(in_axons=1), "core", 8, spikes)
    assert (none.chips, none.cores, none.traffic) == (0, (), None)
    assert set(none.missing) == {"traffic", "energy", "time"}
    assert "-" in lines({"loihi1": none})[1]


def test_loihi_1_spikes_carry_no_values() -> None:
    network, spikes = chain()
    graded = {**spikes, "x": spikes["x"].astype(np.int64) * -3}
    mapping = map_network(network, load("loihi1"), "core", 8, graded)
    assert mapping.breach is not None
    assert mapping.breach.limit == "payload"
    assert len(mapping.cores) == 1
    assert map_network(network, load("loihi2"), "core", 8, graded).fits


def test_nothing_recorded() -> None:
    network, _ = chain()
    mapping = map_network(network, load("loihi1"), "core", 8, None)
    assert mapping.fits
    assert mapping.missing == dict.fromkeys(("traffic", "energy", "time"), "nothing was run")


def test_a_network_without_neurons_takes_no_core() -> None:
    mapping = map_network(IntegerNetwork({"x": (2,)}, ()), load("loihi1"), "core", 0, {"x": np.ones((2, 1, 2))})
    assert (mapping.cores, mapping.crossing(), mapping.fullest()) == ((), 0, None)
    assert "0 of" not in lines({"loihi1": mapping})[1]
