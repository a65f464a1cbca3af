"""Placements computed by hand, limit by limit; every refusal; and what holds of any placement."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_nets import integer_case
from mapper_nets import FEEDBACK, chip, connect, dense, edges, placed_or_refused, population, where, with_small_resets
from scipy.sparse import csr_array

from spikeport.deploy.loihi.engine import IntegerNetwork, Population, Synapses
from spikeport.deploy.loihi.mapper.chip import CHIPS, available, load
from spikeport.deploy.loihi.mapper.lists import connections_of, weight_bits
from spikeport.deploy.loihi.mapper.place import place
from spikeport.deploy.loihi.mapper.placement import USAGE, Placement, UnplacedError
from spikeport.deploy.stage import ONE
from spikeport.errors import ArtefactError, UsageError


def sizes(placement: Placement, name: str) -> list[int]:
    return [s.last - s.first for s in placement.slices if s.population == name]


def test_the_chips_say_where_every_limit_comes_from() -> None:
    assert available() == ("loihi1", "loihi2")
    for name in available():
        limits = load(name).limits
        for limit in vars(limits).values():
            assert limit.source
            assert limit.unit
        for reset in vars(load(name).resets).values():
            assert reset.source
            assert reset.mark == "inferred"
    assert load("loihi1").limits.synapse_words.value == 2**20 // 64
    assert load("loihi2").limits.synapse_words.mark == "inferred"
    assert load("loihi2").no_costs == "no energy per operation is published for Loihi 2"


def test_a_chip_of_ones_own(tmp_path: Path) -> None:
    text = CHIPS.read_text("utf-8")
    one = (
        text[text.index("loihi1:") : text.index("loihi2:")]
        .replace("loihi1:", "mine:")
        .replace("value: 1024", "value: 7")
    )
    (tmp_path / "mine.yaml").write_text(one, "utf-8")
    assert load(tmp_path / "mine.yaml").limits.compartments.value == 7
    assert load(tmp_path / "mine.yaml").name == "mine"
    for bad, message in (
        (one.replace("value: 7", "value: -7"), r"limits\.compartments\.value"),
        (one.replace("cores_per_tile: 4", "cores_per_tile: 1"), "room for 32 cores"),
        (one + text[text.index("loihi2:") :], "describes 2 chips"),
        (one + "  more: 1\n", "more"),
        (one.replace("costs:", "costs: []\n  x:"), "Unexpected|either costs"),
        ("a: [", "not YAML"),
    ):
        (tmp_path / "bad.yaml").write_text(bad, "utf-8")
        with pytest.raises(ArtefactError, match=message):
            load(tmp_path / "bad.yaml")
    with pytest.raises(ArtefactError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match=r"Did you mean 'loihi2'\?"):
        load("loihi3")


def test_synaptic_memory_is_what_intels_compiler_logged() -> None:
    memory = load("loihi2").memory
    assert 200 * memory.words(256, 8 + memory.index_bits) == 16200
    assert 256 * memory.words(200, 8 + memory.index_bits) == 16128


def test_intels_own_example_takes_as_many_cores_as_intels_compiler_took() -> None:
    # lava-dl's Oxford network, 200-256-200: 5 cores in the log, of which its inputs take one.
    network = IntegerNetwork(
        {"x": (200,)},
        (population("a", 256), population("b", 200)),
        (connect("x", "a", np.full((256, 200), 254)), connect("a", "b", np.full((200, 256), 254))),
    )
    placed = place(network, load("loihi2"))
    assert placed.cores == 4
    assert sizes(placed, "a") == [191, 65]


def test_loihi_1_blocks_hold_64_synapses() -> None:
    memory = load("loihi1").memory
    assert memory.words(0, 18) == 0
    assert memory.words(3, 18) == 1
    assert memory.words(4, 18) == 2
    assert memory.words(64, 18) == 19
    assert memory.words(65, 18) == 20


@pytest.mark.parametrize(
    ("weights", "bits"),
    [
        ([0], 1), ([1], 1), ([255], 8), ([254], 7), ([-256], 1), ([-254, 254], 8), ([-256, 254], 8), ([-255, 255], 9),
        ([-2, 2], 2), ([-1, 1], 2), ([64, -64], 2), ([3, -4], 3),
    ],
)  # fmt: skip
def test_bits_that_weights_need(weights: list[int], bits: int) -> None:
    assert weight_bits(np.array(weights)) == bits


def test_compartments_cut() -> None:
    placed = place(dense(2, 10), chip(compartments=4))
    assert sizes(placed, "n") == [4, 4, 2]
    assert placed.usage["compartments"].tolist() == [4, 4, 2]
    assert placed.usage["synapses"].tolist() == [8, 8, 4]
    assert placed.usage["in_axons"].tolist() == [2, 2, 2]
    # 254 alone is 7 bits and takes 8; with 10 of index 3 synapses and a header fill one word, 4 need two.
    assert placed.usage["synapse_words"].tolist() == [4, 4, 2]


def test_synaptic_memory_cuts() -> None:
    # Two sources in one word each as long as a list has 3 synapses.
    assert sizes(place(dense(2, 10), chip(synapse_words=2)), "n") == [3, 3, 3, 1]


def test_in_axons_cut() -> None:
    diagonal = IntegerNetwork({"x": (6,)}, (population("n", 6),), (connect("x", "n", np.eye(6, dtype=int)),))
    placed = place(diagonal, chip(in_axons=4))
    assert sizes(placed, "n") == [4, 2]
    assert placed.usage["in_axons"].tolist() == [4, 2]


def test_two_connections_from_one_neuron_are_one_axon_and_two_lists() -> None:
    twice = (connect("x", "n", [[2], [2]]), connect("x", "n", [[4], [4]], wait=3))
    placed = place(IntegerNetwork({"x": (1,)}, (population("n", 2),), twice), chip())
    assert placed.usage["in_axons"].tolist() == [1]
    assert placed.usage["synapse_words"].tolist() == [2]
    assert placed.usage["formats"].tolist() == [2]


def test_out_axons_cut_the_source() -> None:
    ones = np.ones((4, 4), int)
    network = IntegerNetwork(
        {"x": (1,)},
        (population("a", 4), population("b", 4)),
        (connect("x", "a", np.ones((4, 1), int)), connect("a", "b", ones)),
    )
    placed = place(network, chip(compartments=4, populations=1, out_axons=4))
    assert (sizes(placed, "a"), sizes(placed, "b")) == ([4], [4])
    assert placed.usage["out_axons"].tolist() == [4, 0]
    placed = place(network, chip(compartments=2, populations=1, out_axons=2))
    assert sizes(placed, "a") == [1, 1, 1, 1]
    assert placed.usage["out_axons"].tolist() == [2, 2, 2, 2, 0, 0]


def test_cutting_a_population_cuts_those_that_feed_it() -> None:
    ring = IntegerNetwork(
        {"x": (1,)},
        (population("a", 6),),
        (connect("x", "a", np.ones((6, 1), int)), connect("a", "a", np.ones((6, 6), int))),
    )
    placed = place(ring, chip(out_axons=6))
    assert placed.usage["out_axons"].tolist() == [6]
    # On two cores of 3 every neuron has 2 axons, 6 a core: too many for 5, so 2 a core, which makes 3 cores and so on.
    with pytest.raises(UnplacedError, match="alone sends to 6"):
        place(ring, chip(out_axons=5))


def test_small_populations_share_a_core_where_the_chip_lets_them() -> None:
    parts = tuple(population(f"p{i}", 2) for i in range(5))
    feeds = tuple(connect("x", p.name, np.ones((2, 1), int)) for p in parts)
    network = IntegerNetwork({"x": (1,)}, parts, feeds)
    assert place(network, chip()).cores == 1
    assert place(network, chip(populations=2)).usage["populations"].tolist() == [2, 2, 1]
    assert place(network, chip(compartments=4)).usage["compartments"].tolist() == [4, 4, 2]
    assert place(network, chip(formats=4)).usage["formats"].tolist() == [4, 1]
    assert place(network, load("loihi2")).cores == 5


@pytest.mark.parametrize(
    ("network", "limits", "message"),
    [
        (
            dense(9, 2),
            {"in_axons": 8},
            r"layer 'n' on .*neuron 0 alone needs 9 axons per core, there are 8 \(1 too many\)",
        ),
        (dense(9, 2), {"in_axons": 8}, "at most 8 distinct sources fits"),
        (dense(9, 2), {"synapse_words": 5}, r"neuron 0 alone needs 9 64-bit words per core, there are 5"),
        (dense(2, 40), {"compartments": 4}, r"needs 10 cores, there are 8 \(2 too many\)\. 2 chips would hold it"),
        (
            IntegerNetwork({"x": (1,)}, (population("n", 1),), (connect("x", "n", [[2]], wait=70),)),
            {},
            "waits 70 steps, there are 62",
        ),
        (
            IntegerNetwork({"x": (2,)}, (population("n", 1),), (connect("x", "n", [[-255, 255]]),)),
            {"weight_bits": 8},
            "weights from 'x' need 9 bits, sign included, there are 8",
        ),
        (
            IntegerNetwork(
                {"x": (1,)}, (population("n", 1),), tuple(connect("x", "n", [[2]], weight_exp=e) for e in range(3))
            ),
            {"formats": 2},
            "its connections have 3 synapse formats",
        ),
    ],
)
def test_the_first_limit_that_breaks_is_named(network: IntegerNetwork, limits: dict[str, int], message: str) -> None:
    with pytest.raises(UnplacedError, match=message) as caught:
        place(network, chip(**limits))
    assert pickle.loads(pickle.dumps(caught.value)).breach == caught.value.breach


def test_more_chips_hold_more() -> None:
    assert place(dense(2, 40), chip(compartments=4), chips=2).cores == 10


def test_duplicate_entries_are_one_synapse() -> None:
    twice = csr_array((np.array([1, 1]), (np.array([0, 0]), np.array([0, 0]))), shape=(1, 1))
    twice_raw = csr_array((np.array([1, 1]), np.array([0, 0]), np.array([0, 2])), shape=(1, 1))
    for weight in (twice, twice_raw):
        network = IntegerNetwork({"x": (1,)}, (population("n", 1),), (Synapses("x", "n", weight),))
        assert place(network, chip()).synapses == 1
    assert twice_raw.nnz == 2


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10_000), st.sampled_from([5, 40, 2000]), st.sampled_from([60, 250]), st.sampled_from([None, 4, 150])
)
def test_any_placement(seed: int, compartments: int, in_axons: int, populations: int | None) -> None:
    network = with_small_resets(integer_case(seed, extensions=True).network)
    on = chip(
        compartments=compartments, in_axons=in_axons, synapse_words=3000, populations=populations, formats=None,
        out_axons=3000,
    )  # fmt: skip
    placed = placed_or_refused(network, on)
    if isinstance(placed, UnplacedError):
        assert placed.breach.limit in ("in_axons", "synapse_words", "out_axons")
        assert placed.breach.needed > placed.breach.available
        return
    core = where(placed)
    assert set(core) == {(p.name, n) for p in network.populations for n in range(p.size)}
    assert all(placed.core_of[name][n] == c for (name, n), c in core.items())
    for name in USAGE:
        limit = getattr(on.limits, name).value
        assert limit is None or placed.usage[name].max() <= limit
    assert _counted(network, core, placed) == {name: rows.tolist() for name, rows in placed.usage.items()}


def _counted(network: IntegerNetwork, core: dict[tuple[str, int], int], placed: Placement) -> dict[str, list[int]]:
    """Count what every core holds, synapse by synapse; `placed` is on Loihi 1's rules."""
    found = edges(network, feedback=True)
    by_population = {p.name: p for p in network.populations}
    cores = range(placed.cores)
    arriving = {(core[t, n], s, e) for _, s, e, t, n in found}
    leaving = {(core[s, e], s, e, core[t, n]) for _, s, e, t, n in found if (s, e) in core}
    lists: dict[tuple[int, int, str, int, str], int] = {}
    for i, s, e, t, n in found:
        lists[core[t, n], i, s, e, t] = lists.get((core[t, n], i, s, e, t), 0) + 1
    memory, by_name = placed.chip.memory, connections_of(network)
    held = {c: {p for (p, _), at in core.items() if at == c} for c in cores}
    formats = {p.name: {c.weight_format(memory) for c in by_name if c.target == p.name} for p in network.populations}
    feedback = {p.name: (8 + memory.index_bits, _exponent(p), 0) for p in network.populations if p.reset_by}
    formats = {name: own | {feedback[name]} if name in feedback else own for name, own in formats.items()}

    def words(synapses: int, i: int, target: str) -> int:
        if i == FEEDBACK:
            return memory.words(synapses, 8 + memory.index_bits)
        constant = (c for c in by_name if c.target == target and c.source == ONE)
        return memory.words(synapses, (by_name[i] if i >= 0 else next(constant)).synapse_bits(memory))

    return {
        "compartments": [sum(_compartments(by_population[n]) for (n, _), at in core.items() if at == c) for c in cores],
        "in_axons": [sum(at == c for at, _, _ in arriving) for c in cores],
        "out_axons": [sum(at == c for at, _, _, _ in leaving) for c in cores],
        "synapse_words": [sum(words(k, i, t) for (at, i, _, _, t), k in lists.items() if at == c) for c in cores],
        "populations": [len(held[c]) for c in cores],
        "formats": [sum(len(formats[p]) for p in held[c]) for c in cores],
        "synapses": [sum(core[t, n] == c for _, _, _, t, n in found) for c in cores],
    }


def _compartments(p: Population) -> int:
    if p.reset == "zero":
        return 1
    return 3 if p.reset_by and p.du != 4095 else 2


def _exponent(p: Population) -> int:
    """The least with which 8 bits hold what is left of the reset one step later, in the unit of the threshold."""
    taken = p.reset_by * (4096 - p.dv) / 4096 / 64
    return next(e for e in range(8) if taken <= 255 * 2**e)


def test_a_constant_is_a_source_of_its_own() -> None:
    fed = replace(population("n", 3), constant=np.array([5, 0, -5], np.int32))
    placed = place(IntegerNetwork({"x": (1,)}, (fed,), (connect("x", "n", [[2], [2], [2]]),)), chip())
    assert placed.usage["in_axons"].tolist() == [2]
    assert placed.synapses == 5
