"""What resets take on a chip, computed by hand: compartments, synapses, axons, energy and time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deploy_nets import inputs
from mapper_nets import chip, connect, dense, population
from soft_nets import two_layers

from spikeport.deploy.loihi.backend import backend
from spikeport.deploy.loihi.engine import IntegerNetwork
from spikeport.deploy.loihi.mapper.chip import load
from spikeport.deploy.loihi.mapper.cost import energy, step_time
from spikeport.deploy.loihi.mapper.mapping import map_network
from spikeport.deploy.loihi.mapper.place import place
from spikeport.deploy.loihi.mapper.placement import UnplacedError
from spikeport.deploy.loihi.mapper.resets import compartments_of, feedback_of
from spikeport.deploy.loihi.mapper.traffic import traffic

SOFT = {"reset": "subtract", "reset_by": 100 << 6}
NONE = {"reset": "subtract", "reset_by": 0}


def resetting(inputs: int, neurons: int, **changes: object) -> IntegerNetwork:
    """Every input to every neuron of a population with a reset of its own."""
    plain = dense(inputs, neurons)
    changed = replace(plain.populations[0], **changes)  # type: ignore[arg-type]
    return replace(plain, populations=(changed,))


def test_loihi_1_takes_two_compartments_and_a_synapse_back() -> None:
    placed = place(resetting(2, 4, **SOFT), chip(compartments=4))
    used = {name: rows.tolist() for name, rows in placed.usage.items()}
    # On each core 2 neurons: 2 inputs to both and each to itself. A list of up to 3 synapses is a word, and all of them
    # have 18 bits and the exponent 0: one format.
    assert used == {
        "compartments": [4, 4], "in_axons": [4, 4], "out_axons": [2, 2], "synapse_words": [4, 4],
        "populations": [1, 1], "formats": [1, 1], "synapses": [6, 6],
    }  # fmt: skip
    assert [(s.first, s.last) for s in placed.slices] == [(0, 2), (2, 4)]


def test_without_a_reset_there_is_no_synapse_back() -> None:
    placed = place(resetting(2, 4, **NONE), chip(compartments=4))
    assert placed.usage["compartments"].tolist() == [4, 4]
    assert placed.usage["synapses"].tolist() == [4, 4]
    assert placed.usage["out_axons"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("changes", "loihi1", "loihi2"),
    [
        ({}, 1, 1),
        (SOFT, 2, 1),
        (NONE, 2, 1),
        (SOFT | {"du": 1000}, 3, 1),
        (NONE | {"du": 1000}, 2, 1),
        ({"du": 5}, 1, 1),
    ],
)
def test_compartments_of_a_neuron(changes: dict[str, object], loihi1: int, loihi2: int) -> None:
    of = resetting(2, 4, **changes).populations[0]
    assert (compartments_of(of, load("loihi1")), compartments_of(of, load("loihi2"))) == (loihi1, loihi2)


def test_loihi_2_takes_a_program() -> None:
    soft, plain = (place(resetting(2, 4, **changes), load("loihi2")) for changes in (SOFT, {}))
    assert {n: x.tolist() for n, x in soft.usage.items()} == {n: x.tolist() for n, x in plain.usage.items()}


@pytest.mark.parametrize(
    ("reset_by", "dv", "weight", "exponent"),
    [
        (100 << 6, 2048, -50, 0),
        (1000 << 6, 0, -250, 2),
        (1021 << 6, 0, -128, 3),
        (1, 4095, -1, 0),
        (255 << 13, 0, -255, 7),
    ],
)
def test_the_synapse_takes_off_what_is_left_one_step_later(reset_by: int, dv: int, weight: int, exponent: int) -> None:
    network = resetting(2, 3, reset="subtract", reset_by=reset_by, dv=dv)
    (back,) = feedback_of(network, load("loihi1"))
    assert (back.source, back.target, back.exponent, back.wait) == ("n", "n", exponent, 0)
    np.testing.assert_array_equal(back.weight.toarray(), np.eye(3) * weight)


def test_more_than_a_synapse_takes_off_is_named_and_the_advice_holds() -> None:
    network = resetting(2, 3, reset="subtract", reset_by=2**23 - 1, dv=0)
    with pytest.raises(
        UnplacedError, match=r"'n' on .*its reset takes off is 131072 units of the threshold, there are 32640"
    ):
        place(network, load("loihi1"))
    assert place(network, load("loihi2")).cores == 1
    scaled, zero = (resetting(2, 3, **x) for x in (SOFT, {}))
    assert place(scaled, load("loihi1")).cores == place(zero, load("loihi1")).cores == 1


def test_a_neuron_that_fits_no_core_is_named() -> None:
    with pytest.raises(
        UnplacedError, match=r"neuron 0 alone needs 2 compartments per core, there are 1.*reset to zero"
    ):
        place(resetting(2, 3, **SOFT), chip(compartments=1))


def test_energy_and_time_by_hand() -> None:
    network = IntegerNetwork({"x": (1,)}, (population("n", 1, **SOFT),), (connect("x", "n", [[2]]),))
    spikes = {"x": np.ones((2, 1, 1), np.uint8), "n": np.array([0, 1], np.uint8).reshape(2, 1, 1)}
    placed = place(network, chip())
    counted = traffic(placed, spikes)
    assert (counted.total("synops"), counted.total("within"), counted.total("injected")) == (3, 1, 2)
    found = energy(placed, counted)
    assert found is not None
    events = 3 * 100 + 1 * 1000 + 3 * 0.5
    assert found.low_pj == events + 2 * 10 + 2 * 1
    assert found.high_pj == events + 4 * 10
    timed = step_time(placed, spikes)
    assert timed is not None
    # One synaptic operation in the first step and two in the second, and two compartments in each.
    assert timed.low_ns == (1 * 2 + 2 * 2) / 2 + 2 * 1 + 7
    assert timed.worst_ns == 2 * 2 + 2 * 3 + 9


def test_a_mapping_says_what_was_taken_and_how_sure_it_is() -> None:
    network = resetting(2, 4, **SOFT)
    one, two = (map_network(network, load(name), "core", 8, None) for name in ("loihi1", "loihi2"))
    assert one.assumptions[-1].startswith(
        "layer 'n', reset by subtraction: 2 compartments and a synapse a neuron. NxTF, Intel's compiler for Loihi"
    )
    assert "not what the engine computes" in one.assumptions[-1]
    assert two.assumptions[-1].startswith("layer 'n', reset by subtraction: 1 compartment a neuron. Neuron models are")
    assert all(mapping.assumptions[-1].endswith("(inferred)") for mapping in (one, two))
    assert one.cores[0].layers == {"n": 4}
    assert one.cores[0].usage["compartments"] == 8
    plain = map_network(resetting(2, 4), load("loihi1"), "core", 8, None)
    assert len(plain.assumptions) == len(one.assumptions) - 1


def test_snntorchs_default_network_is_placed_and_its_files_say_what_they_cannot(tmp_path: Path) -> None:
    net = two_layers(0.9, 1.0, 1.0)
    x = inputs(net, timesteps=30, samples=2)
    program = backend.lower(net, x)
    recording = program.run(x)
    for name, compartments, synapses in (("loihi1", 48, 24), ("loihi2", 24, 0)):
        mapping = program.mapping(load(name), "core", x, recording)
        assert mapping.fits
        assert mapping.neurons == 24
        assert sum(core.usage["compartments"] for core in mapping.cores) == compartments
        assert sum(core.usage["synapses"] for core in mapping.cores) == mapping.synapses + synapses
    program.save(tmp_path)
    notes = (tmp_path / "notes.txt").read_text("utf-8")
    assert "run_lava.py is not here. node 'a' (reset by subtraction of " in notes
    assert "network.net is not here. node 'a' (reset by subtraction of " in notes


def settled(n: int, **own: object) -> IntegerNetwork:
    """Two inputs to `n` neurons with parameters of their own."""
    return resetting(2, n, **own)


def test_loihi_1_cuts_where_a_cores_settings_are_used_up() -> None:
    """Six neurons with the thresholds 1, 2, 1, 3, 4, 2: a core of two settings takes 1 2 1, 3 4 and 2."""
    thresholds = np.array([1, 2, 1, 3, 4, 2], np.int32)
    placed = place(settled(6, vth_mant=thresholds), chip(populations=2))
    assert [(s.first, s.last) for s in placed.slices] == [(0, 3), (3, 5), (5, 6)]
    assert placed.usage["populations"].tolist() == [2, 2, 1]
    assert len(place(settled(6, vth_mant=3), chip(populations=2)).slices) == 1


def test_a_pair_of_decays_and_a_threshold_is_a_setting() -> None:
    own = {"du": np.array([9, 9, 8, 8], np.int32), "dv": np.array([1, 2, 1, 1], np.int32)}
    placed = place(settled(4, **own), chip())
    assert placed.usage["populations"].tolist() == [3]
    assert placed.usage["compartments"].tolist() == [4]


def test_two_populations_share_a_cores_settings() -> None:
    own = np.array([1, 2, 3], np.int32)
    two = tuple(replace(population(name, 3), vth_mant=own) for name in ("n", "m"))
    synapses = [connect("x", p.name, np.full((3, 1), 2)) for p in two]
    network = IntegerNetwork({"x": (1,)}, two, tuple(synapses))
    assert place(network, chip(populations=6)).usage["populations"].tolist() == [6]
    assert place(network, chip(populations=5)).usage["populations"].tolist() == [3, 3]


def test_loihi_2_reads_parameters_from_each_neuron() -> None:
    network = settled(40, dv=np.arange(40, dtype=np.int32))
    on_2, on_1 = (map_network(network, load(name), "core", 0, None) for name in ("loihi2", "loihi1"))
    assert [core.usage["populations"] for core in on_2.cores] == [1]
    assert [core.usage["populations"] for core in on_1.cores] == [16, 16, 8]
    for mapping in (on_1, on_2):
        assert any("layer 'n', dv of every neuron's own: " in said for said in mapping.assumptions)


def test_each_neurons_synapse_back_takes_off_its_own_reset() -> None:
    """By hand: 64 x 100 and 64 x 200 with (4096 - 2048) / 4096 of it left are 50 and 100 units of the threshold."""
    network = settled(2, reset="subtract", dv=2048, reset_by=np.array([6400, 12800], np.int32))
    (back,) = feedback_of(network, load("loihi1"))
    assert back.exponent == 0
    assert back.weight.toarray().tolist() == [[-50, 0], [0, -100]]
