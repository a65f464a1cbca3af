"""Counts against the unrolled network, bounds against placements, and figures by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from spikeport.benchmarks.counting.fanout import fan_out
from spikeport.benchmarks.occupancy import __main__ as command
from spikeport.benchmarks.occupancy.bounds import bound
from spikeport.benchmarks.occupancy.cases import CASES, CHIP, Case
from spikeport.benchmarks.occupancy.needs import LayerNeed, least_words, needs_of, synapse_bits
from spikeport.benchmarks.occupancy.pattern import fan, identity, pattern_of, union
from spikeport.benchmarks.occupancy.report import NOT_SHARED, occupancy
from spikeport.benchmarks.occupancy.structure import Structure, structure_of
from spikeport.deploy.linear import matrix
from spikeport.deploy.loihi.engine import IntegerNetwork
from spikeport.deploy.loihi.mapper.chip import Chip, Memory, load
from spikeport.deploy.loihi.mapper.lists import connections_of
from spikeport.deploy.loihi.mapper.place import place
from spikeport.deploy.loihi.mapper.placement import Placement, UnplacedError
from spikeport.deploy.loihi.program import integer_network
from spikeport.deploy.loihi.quantise import quantise
from spikeport.deploy.stage import lower_hops
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph
from spikeport.export.shapes import output_shape

CHIPS = ("loihi1", "loihi2")
SMALL = {
    "s-cmrl": Case(
        "small",
        "s-cmrl-crema-d",
        True,
        (
            *CHIP,
            "model.params.channels=16",
            "model.params.audio=[{channels: 8, stride: 2}, {channels: 16, pool: true}]",
            "model.params.visual=[{channels: 8, stride: 2}, {channels: 16, stride: 2}]",
        ),
        {"audio": (1, 16, 12), "visual": (3, 16, 12)},
    ),
    "resnet": Case(
        "small",
        "l2-cifar10",
        True,
        ("model.params.visual.stages=[{channels: 8, blocks: 2}, {channels: 12, blocks: 2, stride: 2}]",),
        {"image": (3, 9, 9)},
    ),
}


def chip_with(name: str, **limits: int | None) -> Chip:
    one = load(name)
    changed = {key: replace(getattr(one.limits, key), value=value) for key, value in limits.items()}
    return replace(one, limits=replace(one.limits, **changed))


@pytest.fixture(scope="module", params=SMALL)
def unrolled(request: pytest.FixtureRequest) -> tuple[ChipGraph, Structure, IntegerNetwork]:
    """A small network, counted and unrolled into 8-bit integers none of which is 0."""
    torch.manual_seed(1)
    graph = SMALL[request.param].graph()
    for node in graph.nodes.values():
        if isinstance(node, nir.Conv2d) and np.ptp(node.weight):
            rng = np.random.default_rng(node.weight.size)
            size = rng.uniform(0.4, 1.0, node.weight.shape) * np.abs(node.weight).max()
            node.weight = (np.where(rng.random(size.shape) < 0.5, size, -size)).astype(np.float32)
    calibration = {name: np.zeros((2, 1, *graph.shapes[name]), np.float32) for name in graph.inputs}
    return graph, structure_of(graph), integer_network(quantise(graph, calibration))


def test_layers_and_connections_are_those_of_the_unrolled_network(unrolled) -> None:  # type: ignore[no-untyped-def]
    graph, structure, network = unrolled
    assert structure.layers == {p.name: p.size for p in network.populations}
    stage = lower_hops(graph)
    assert {(h.source, h.target, h.wait): int(fan(h.patterns, "out").sum()) for h in structure.hops} == {
        (h.source, h.target, h.wait): h.weight.nnz for h in stage.hops
    }
    for hop, (theirs,) in zip(
        structure.hops,
        (
            [h for h in stage.hops if (h.source, h.target, h.wait) == (m.source, m.target, m.wait)]
            for m in structure.hops
        ),
        strict=True,
    ):
        pattern = theirs.weight != 0
        np.testing.assert_array_equal(fan(hop.patterns, "out"), np.asarray(pattern.sum(axis=0)))
        np.testing.assert_array_equal(fan(hop.patterns, "in"), np.asarray(pattern.sum(axis=1)))


@pytest.mark.parametrize("name", CHIPS)
def test_totals_equal_the_mappers_and_bounds_are_below_its_cores(unrolled, name: str) -> None:  # type: ignore[no-untyped-def]
    _, structure, network = unrolled
    chip = load(name)
    needs = needs_of(structure, chip)
    placement = place(network, chip, chips=1000)
    assert sum(n.synapses for n in needs.values()) == network.synapse_count == placement.synapses
    assert sum(n.neurons for n in needs.values()) == sum(p.size for p in network.populations)
    found = bound(needs, chip)
    assert 0 < found.cores <= placement.cores
    assert sum(n.words for n in needs.values()) <= placement.usage["synapse_words"].sum()
    # The bound is worth having: the greedy placement takes at most three times as much memory.
    assert placement.usage["synapse_words"].sum() <= 3 * sum(n.words for n in needs.values())


def test_a_source_with_several_connections_is_one_axon(unrolled) -> None:  # type: ignore[no-untyped-def]
    _, structure, network = unrolled
    for name, need in needs_of(structure, load("loihi1")).items():
        sources: dict[str, csr_array] = {}
        for s in network.synapses:
            if s.target == name:
                there = csr_array(s.weight != 0)
                sources[s.source] = sources[s.source] + there if s.source in sources else there
        assert need.fan_in == sum((w.sum(axis=1) for w in sources.values()), np.zeros(need.neurons, int)).max()
        assert need.reached.keys() == sources.keys()
        for source, out_N in need.reached.items():
            np.testing.assert_array_equal(out_N, sources[source].sum(axis=0))


@pytest.mark.parametrize("name", CHIPS)
def test_synapses_have_at_most_the_mappers_bits(unrolled, name: str) -> None:  # type: ignore[no-untyped-def]
    _, structure, network = unrolled
    memory = load(name).memory
    theirs = {(c.source, c.target, c.wait): c.synapse_bits(memory) for c in connections_of(network)}
    for hop in structure.hops:
        bits = synapse_bits(hop, memory)
        there = theirs[hop.source, hop.target, hop.wait]
        assert bits == there if hop.learned else bits <= there


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    "limits",
    [
        {"compartments": 16},
        {"synapse_words": 400},
        {"synapse_words": 100},
        {"in_axons": 150},
        {"in_axons": 40},
        {"out_axons": 300},
    ],
    ids=str,
)
def test_bounds_and_breaches_hold_under_tight_limits(unrolled, name: str, limits: dict[str, int]) -> None:  # type: ignore[no-untyped-def]
    _, structure, network = unrolled
    chip = chip_with(name, cores=8, **limits)
    found = bound(needs_of(structure, chip), chip)
    order = list(structure.layers)
    many = placed_or_refused(network, chip, 100_000)
    if isinstance(many, UnplacedError):
        assert found.breach is not None
        assert (found.breach.limit, found.breach.layer) == (many.breach.limit, many.breach.layer)
        assert found.breach.needed >= many.breach.needed
        return
    assert found.cores <= many.cores
    if found.breach is not None:
        one = placed_or_refused(network, chip, 1)
        assert isinstance(one, UnplacedError)
        assert found.breach.limit == one.breach.limit == "cores"
        assert order.index(one.breach.layer) <= order.index(found.breach.layer)


def placed_or_refused(network: IntegerNetwork, chip: Chip, chips: int) -> Placement | UnplacedError:
    try:
        return place(network, chip, chips)
    except UnplacedError as error:
        return error


def conv(rng: np.random.Generator, groups: int, **geometry: object) -> nir.Conv2d:
    weight = rng.uniform(0.5, 1, (4, 4 // groups, *geometry.pop("kernel", (3, 3)))).astype(np.float32)  # type: ignore[misc]
    return nir.Conv2d(None, weight, groups=groups, bias=np.zeros(4, np.float32), **geometry)


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2, 4]),
    pool=st.sampled_from([None, (1, 1), (2, 2), (3, 2)]),
)
def test_any_convolution_and_what_pools_it_count_as_unrolled(  # type: ignore[no-untyped-def]
    kernel, stride, padding, dilation, groups, pool
) -> None:
    rng = np.random.default_rng(0)
    shape = (4, 8, 9)
    node = conv(rng, groups, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    node = nir.Conv2d(None, node.weight, stride, padding, dilation, groups, node.bias)
    out = output_shape("c", node, shape)
    weight, _ = matrix(node, shape, out)
    pattern = pattern_of("c", node, shape, shape)
    np.testing.assert_array_equal(fan([pattern], "out"), fan_out(node, shape).ravel())
    if pool is not None and min(out[1:]) >= max(pool):
        average = nir.AvgPool2d(np.array(pool), np.array(pool), np.array((0, 0)))
        pooled = output_shape("p", average, out)
        weight = matrix(average, out, pooled)[0] @ weight
        pattern = pattern_of("p", average, out, out).after(pattern)
    np.testing.assert_array_equal(fan([pattern], "out"), np.asarray((weight != 0).sum(axis=0)))
    np.testing.assert_array_equal(fan([pattern], "in"), np.asarray((weight != 0).sum(axis=1)))


def test_paths_that_overlap_count_once() -> None:
    rng = np.random.default_rng(0)
    shape = (4, 5, 6)
    tall, wide = (
        conv(rng, 4, kernel=(3, 1), stride=1, padding=(1, 0), dilation=1),
        conv(rng, 2, kernel=(1, 3), stride=1, padding=(0, 1), dilation=1),
    )
    weights = [matrix(node, shape, shape)[0] for node in (tall, wide)]
    both = union([pattern_of("c", node, shape, shape) for node in (tall, wide)])
    assert len(both) == 2
    together = (weights[0] != 0) + (weights[1] != 0)
    for of, axis in (("out", 0), ("in", 1)):
        np.testing.assert_array_equal(fan(both, of), np.asarray(together.sum(axis=axis)))  # type: ignore[arg-type]
    square = pattern_of("c", conv(rng, 1, stride=1, padding=1, dilation=1), shape, shape)
    same = identity(shape)
    for order in ([same, square], [square, same]):
        (only,) = union(order)
        assert only.learned
        assert fan([only], "in").sum() == fan([square], "in").sum()


def test_a_linear_behind_a_flatten_reads_everything() -> None:
    shape = (3, 4, 5)
    node = nir.Linear(np.random.default_rng(0).normal(size=(7, 60)))
    pattern = pattern_of("l", node, (60,), shape)
    np.testing.assert_array_equal(fan([pattern], "out"), np.full(60, 7))
    np.testing.assert_array_equal(fan([pattern], "in"), np.full(7, 60))
    with pytest.raises(UnfaithfulError, match="not one axis"):
        pattern_of("l", node, (2, 60), (2, 1, 60))


@pytest.mark.parametrize(("name", "bits"), [("loihi1", 18), ("loihi1", 11), ("loihi2", 20)])
def test_no_way_to_cut_a_list_takes_fewer_words(name: str, bits: int) -> None:
    memory = replace(load(name).memory, synapses_per_block=4 if name == "loihi1" else None)
    least = least_words(11, bits, memory)
    for n in range(12):
        assert least[n] == min((sum(memory.words(p, bits) for p in parts) for parts in partitions(n, n)), default=0)


def partitions(n: int, most: int) -> list[tuple[int, ...]]:
    """Return all ways to write n as parts of at most `most`, largest first."""
    if n == 0:
        return [()]
    return [(k, *rest) for k in range(min(n, most), 0, -1) for rest in partitions(n - k, k)]


def test_a_cut_can_save_a_word() -> None:
    memory: Memory = load("loihi1").memory
    # 70 synapses of 18 bits: 19 + 2 words whole, 10 + 10 as two lists of 35, which end at a word exactly.
    assert memory.words(70, 18) == 21
    assert least_words(70, 18, memory)[70] == 20


def layer(neurons: int, words: int, reached: dict[str, np.ndarray], fan_in: int = 1, kernel: int = 1) -> LayerNeed:
    return LayerNeed(neurons, 0, fan_in, 1, words, kernel, reached)


def test_bounds_by_hand_where_cores_are_shared() -> None:
    chip = load("loihi1")
    # x: 5000 sources, each to 1025 neurons of a and 1023 of b: 2 cores each at least, 10,000 axons, 3 cores.
    needs = {
        "a": layer(1500, 20_000, {"x": np.full(5000, 1025)}),
        "b": layer(1500, 12_000, {"x": np.full(5000, 1023), "a": np.full(1500, 4 * 1024)}),
    }
    found = bound(needs, chip)
    # Axons in: (10,000 + 6,000) / 4096; out: 6,000 / 4096; words 32,000 / 16,384; neurons 3,000 / 1024.
    assert found.by_limit == {"compartments": 3, "in_axons": 4, "synapse_words": 2, "out_axons": 2}
    assert (found.cores, found.binding, found.chips, found.breach) == (4, "in_axons", 1, None)
    few = bound(needs, chip_with("loihi1", cores=3))
    assert few.breach is not None
    assert (few.breach.limit, few.breach.layer, few.breach.needed, few.chips) == ("cores", "b", 4, 2)


def test_bounds_by_hand_where_a_core_holds_one_population() -> None:
    chip = load("loihi2")
    needs = {
        "a": layer(8193, 12_001, {"x": np.ones(9, np.int64)}, kernel=5),
        "b": layer(5, 36_001, {"a": np.ones(9, np.int64)}, kernel=12_001),
    }
    found = bound(needs, chip)
    assert found.by_limit == {"compartments": 3, "in_axons": None, "synapse_words": 6, "out_axons": None}
    assert found.by_layer == {"a": 2, "b": 4}
    assert (found.cores, found.binding) == (6, "synapse_words")
    shared = bound(needs, chip, shared_kernels=True)
    assert shared.by_limit["synapse_words"] == 3
    assert shared.by_layer == {"a": 2, "b": 2}
    assert shared.cores == 4


def test_a_neuron_that_fits_no_core_breaks_first() -> None:
    needs = {"a": layer(10, 1, {"x": np.ones(9, np.int64)}), "b": layer(10, 1, {"a": np.ones(9, np.int64)}, 4097)}
    found = bound(needs, load("loihi1"))
    assert found.breach is not None
    assert (found.breach.limit, found.breach.layer) == ("in_axons", "b")
    assert (found.breach.needed, found.breach.available) == (4097, 4096)


def test_the_resnet_of_the_paper() -> None:
    structure = structure_of(CASES["l2-resnet18-32"].graph())
    blocks = [(64, 32, 5), (128, 16, 4), (256, 8, 4), (512, 4, 4)]
    assert sum(structure.layers.values()) == sum(c * side**2 * layers for c, side, layers in blocks)

    def conv3(before: int, after: int, side: int, stride: int = 1) -> int:
        taps = sum(0 <= stride * o + k - 1 < side for o, k in product(range(side // stride), range(3)))
        return before * after * taps**2

    total = conv3(3, 64, 32) + 4 * conv3(64, 64, 32)
    for (before, side_before, _), (after, side, _) in pairwise(blocks):
        total += conv3(before, after, side_before, 2) + 3 * conv3(after, after, side) + before * after * side**2
    # Identity skips: two in the first stage, one in each of the others.
    total += sum(c * side**2 * (2 if c == 64 else 1) for c, side, _ in blocks)
    found = occupancy("r", "r", structure, True, load("loihi1"))
    assert found.synapses == total
    assert found.unrolled.breach is not None
    # 512 x 9 sources, and the 256 of the projection.
    assert found.unrolled.breach.limit == "in_axons"
    assert found.unrolled.breach.needed == 512 * 9 + 256
    assert found.shared is None
    assert found.note is not None


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(CASES, "small", SMALL["resnet"])
    assert command.main(["small", "--layers", "--json", str(tmp_path / "o.json")]) == 0
    shown = capsys.readouterr().out
    assert "| small | loihi1 | unrolled |" in shown
    assert "| small | loihi2 | shared (inferred) |" in shown
    assert NOT_SHARED in shown
    content = json.loads((tmp_path / "o.json").read_text("utf-8"))
    one, two = content["occupancies"]
    assert one["missing"].keys() == {"shared_kernels"}
    assert two["missing"].keys() == {"by_limit.in_axons", "by_limit.out_axons"}
    assert two["unrolled"]["by_limit"]["in_axons"] is None
    assert sum(of["synapses"] for of in two["layers"].values()) == two["synapses"] == one["synapses"]
    assert command.main(["smal"]) == 2
    assert "Did you mean 'small'?" in capsys.readouterr().err


def test_a_neuron_of_several_nodes_is_refused() -> None:
    """A reset by subtraction would count as two populations and a connection."""
    one = np.ones(3)
    nodes = {"x": nir.Input({"input": np.array([3])}), "m": nir.LI(one * 2e-3, one, 0 * one), "s": nir.Threshold(one)}
    nodes |= {"r": nir.Scale(-one), "out": nir.Output({"output": np.array([3])})}
    edges = [("x", "m"), ("m", "s"), ("s", "r"), ("r", "m"), ("s", "out")]
    graph = ChipGraph.from_nir(nir.NIRGraph(nodes, edges, type_check=False), 1e-3)
    with pytest.raises(UnfaithfulError, match="'s': it is several nodes"):
        structure_of(graph)
