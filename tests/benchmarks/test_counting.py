"""Counts against an independent event walk, by hand, and against the formulas that err."""

from __future__ import annotations

from dataclasses import replace

import bench_nets as nets
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikeport.benchmarks.counting.detail import stage_detail
from spikeport.benchmarks.counting.fanout import fan_out
from spikeport.benchmarks.counting.stage import count_stage
from spikeport.errors import UsageError
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.recording import Recording


def counted(graph, inputs, **options):
    recording = run(graph, inputs)
    return count_stage(graph, inputs, recording, **options), recording


def by_node(counts):
    return {n: (s.ac, s.mac) for n, s in counts.synapses.items()}


def spikes(rng, *shape, p=0.2):
    return (rng.random(shape) < p).astype(float)


INPUTS = {
    "spikes": lambda rng, shape: spikes(rng, *shape, p=0.05),
    "analog": lambda rng, shape: rng.normal(size=shape),
    "poisson counts": lambda rng, shape: rng.poisson(0.1, shape).astype(float),
    "signed spikes": lambda rng, shape: spikes(rng, *shape, p=0.05) * rng.choice([-1, 1], shape),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("pool", [nir.AvgPool2d, nir.SumPool2d])
def test_facts_net_matches_the_event_walk(kind, pool):
    """Cases B to E of the facts file: pooled, analog, counted and signed input, per element."""
    rng = np.random.default_rng(1)
    graph = nets.net_a(rng, pool)
    inputs = {"in": INPUTS[kind](rng, (3, 2, 2, 16, 16))}
    counts, recording = counted(graph, inputs)
    assert by_node(counts) == nets.brute_force(graph, inputs, recording.nodes)
    assert counts.synops_ac > 0
    assert counts.synapses["conv2"].mac > 0, "a pooled value is graded"
    if kind == "analog":
        assert counts.synapses["conv1"].ac == 0


def test_pruned_net_by_choice():
    """Case F: zero weights are synapses of a dense chip and none of a sparse one."""
    rng = np.random.default_rng(2)
    graph = nets.net_a(rng)
    for node in graph.nodes.values():
        if hasattr(node, "weight"):
            node.weight[rng.random(node.weight.shape) < 0.5] = 0
    inputs = {"in": spikes(rng, 3, 2, 2, 16, 16)}
    recording = run(graph, inputs)
    everything, present = (count_stage(graph, inputs, recording, nonzero_weights_only=c) for c in (False, True))
    assert by_node(present) == nets.brute_force(graph, inputs, recording.nodes, nonzero_only=True)
    assert by_node(everything) == nets.brute_force(graph, inputs, recording.nodes)
    assert 0 < present.synops_ac < 0.6 * everything.synops_ac


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2, 4]),
    side=st.tuples(st.integers(5, 8), st.integers(5, 8)),
    seed=st.integers(0, 1000),
)
def test_any_convolution_matches_the_event_walk(kernel, stride, padding, dilation, groups, side, seed):
    rng = np.random.default_rng(seed)
    conv = nets.conv(rng, 4, 4, kernel, stride, padding, dilation, groups, side)
    conv.weight[rng.random(conv.weight.shape) < 0.3] = 0
    nodes = {"in": nets.source(4, *side), "conv": conv, "lif": None, "out": None}
    side_out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(side, padding, dilation, kernel, stride, strict=True)
    ]
    nodes["lif"], nodes["out"] = nets.lif((4, *side_out)), nets.sink(4, *side_out)
    graph = nets.graph(nodes, [("in", "conv"), ("conv", "lif"), ("lif", "out")])
    inputs = {"in": rng.choice([0, 0, 0, 1, -1, 0.5], (2, 2, 4, *side))}
    for nonzero_only in (False, True):
        counts, recording = counted(graph, inputs, nonzero_weights_only=nonzero_only)
        assert by_node(counts) == nets.brute_force(graph, inputs, recording.nodes, nonzero_only)


def test_conv1d_matches_the_event_walk():
    rng = np.random.default_rng(3)
    conv = nir.Conv1d(11, rng.normal(size=(4, 1, 3)), 2, 1, 2, 2, np.zeros(4))
    nodes = {"in": nets.source(2, 11), "conv": conv, "lif": nets.lif((4, 5)), "out": nets.sink(4, 5)}
    graph = nets.graph(nodes, [("in", "conv"), ("conv", "lif"), ("lif", "out")])
    inputs = {"in": rng.choice([0, 1, 0.5], (4, 2, 2, 11))}
    counts, recording = counted(graph, inputs)
    assert by_node(counts) == nets.brute_force(graph, inputs, recording.nodes)


def recurrent(rng):
    nodes = {
        "a": nets.source(6),
        "b": nets.source(4),
        "wa": nir.Affine(rng.normal(size=(5, 6)), rng.normal(size=5)),
        "wb": nir.Linear(rng.normal(size=(5, 4))),
        "lif": nets.lif((5,)),
        "back": nir.Affine(rng.normal(size=(5, 5)), np.zeros(5)),
        "mix": nir.Linear(rng.normal(size=(3, 5))),
        "out_lif": nets.lif((3,)),
        "out": nets.sink(3),
    }
    edges = [("a", "wa"), ("b", "wb"), ("wa", "lif"), ("wb", "lif"), ("lif", "back"), ("back", "lif")]
    edges += [("lif", "mix"), ("mix", "out_lif"), ("out_lif", "out")]
    return nets.graph(nodes, edges)


def test_two_branches_and_recurrence_match_the_event_walk():
    rng = np.random.default_rng(4)
    graph = recurrent(rng)
    assert graph.registers == {("lif", "back")}
    inputs = {"a": spikes(rng, 12, 3, 6, p=0.5), "b": rng.normal(size=(12, 3, 4))}
    counts, recording = counted(graph, inputs)
    assert by_node(counts) == nets.brute_force(graph, inputs, recording.nodes)
    fired = recording.nodes["lif"]
    assert fired[-1].sum() > 0, "the last step's spikes must not be counted in the loop"
    assert counts.synapses["back"].ac == 5 * fired[:-1].sum()
    assert counts.synapses["mix"].ac == 3 * fired.sum()


def test_two_spikes_on_shared_weights_are_two_events():
    """One layer fed by two sources: each spike is an event of its own, also behind a Flatten."""
    nodes = {
        "a": nets.source(2),
        "b": nets.source(2),
        "flat": nir.Flatten({"input": np.array([2])}, 0, -1),
        "w": nir.Linear(np.ones((3, 2))),
        "lif": nets.lif((3,)),
        "out": nets.sink(3),
    }
    edges = [("a", "flat"), ("b", "flat"), ("flat", "w"), ("w", "lif"), ("lif", "out")]
    graph = nets.graph(nodes, edges)
    ones = np.ones((1, 1, 2))
    counts, _ = counted(graph, {"a": ones, "b": ones})
    assert by_node(counts) == {"w": (2 * 2 * 3, 0)}


def test_delays_and_value_chains():
    """`Affine -> Scale` hands on graded values; a delayed spike that never leaves its line costs nothing."""
    nodes = {
        "in": nets.source(2),
        "w": nir.Affine(np.eye(2) * 0.5, np.zeros(2)),
        "scale": nir.Scale(np.array([2.0, 3.0])),
        "late": nir.Delay(np.array([2 * nets.DT_S] * 2)),
        "v": nir.Linear(np.ones((4, 2))),
        "lif": nets.lif((2,)),
        "end": nets.lif((4,)),
        "out": nets.sink(4),
    }
    edges = [("in", "w"), ("w", "scale"), ("scale", "lif"), ("in", "late"), ("late", "v"), ("v", "end")]
    edges += [("end", "out")]
    graph = nets.graph(nodes, edges)
    counts, _ = counted(graph, {"in": np.ones((5, 1, 2))})
    assert by_node(counts) == {"w": (5 * 4, 0), "scale": (0, 5 * 2), "v": (3 * 2 * 4, 0)}
    assert "late" in counts.not_counted


def test_counts_do_not_depend_on_batch_or_order():
    rng = np.random.default_rng(5)
    graph = nets.net_a(rng)
    x = spikes(rng, 3, 7, 2, 16, 16)
    whole, recording = counted(graph, {"in": x})
    assert count_stage(graph, {"in": x}, recording, batch=2) == whole
    order = rng.permutation(7)
    assert counted(graph, {"in": x[:, order]})[0] == whole


def test_updates_spikes_and_dense_by_hand():
    graph = nets.net_a(np.random.default_rng(6))
    x = spikes(np.random.default_rng(7), 10, 2, 2, 16, 16)
    counts, recording = counted(graph, {"in": x})
    assert counts.neuron_updates == 2 * 25_700, "the facts file's figure, for two samples"
    assert counts.dense_macs == 2 * 1_120_640
    assert counts.spikes == sum(int(recording.nodes[n].sum()) for n in graph.spiking)


def test_padded_formula_errs_where_the_map_does_not():
    """Spikes x O k^2 / groups overcounts at every border and stride; proof that the map is needed."""
    rng = np.random.default_rng(8)
    graph = nets.net_a(rng)
    inputs = {"in": spikes(rng, 3, 2, 2, 16, 16)}
    counts, recording = counted(graph, inputs)
    conv1, conv3 = graph.nodes["conv1"], graph.nodes["conv3"]
    naive1 = int(inputs["in"].sum()) * conv1.weight[:, 0].size
    naive3 = int(recording.nodes["lif2"].sum()) * conv3.weight[:, 0].size // 4
    assert naive1 > 1.1 * counts.synapses["conv1"].ac
    assert naive3 > 1.3 * counts.synapses["conv3"].ac > 0
    padded = 16 * 16 * 25 * 16 + 16 * 9 * 128 + 16 * 9 * 64 + 2560
    exact = sum(int(fan_out(graph.nodes[n], shape).sum()) for n, shape in DENSE_SHAPES.items())
    assert (padded, exact) == (132_608, 112_064), "the facts file's figures"


DENSE_SHAPES = {"conv1": (2, 16, 16), "conv2": (8, 8, 8), "conv3": (16, 4, 4), "fc": (256,)}


def test_latency_is_taken_out_of_a_backends_recording():
    rng = np.random.default_rng(9)
    graph = recurrent(rng)
    inputs = {"a": spikes(rng, 6, 2, 6), "b": spikes(rng, 6, 2, 4)}
    counts, recording = counted(graph, inputs)
    pad = {"lif": 1, "out_lif": 2}
    late = {n: np.concatenate([np.zeros_like(recording.nodes[n][:k]), recording.nodes[n]]) for n, k in pad.items()}
    shifted = Recording(late, pad, 6, None)
    assert count_stage(graph, inputs, shifted) == counts


def test_a_missing_node_is_refused():
    rng = np.random.default_rng(10)
    graph = recurrent(rng)
    inputs = {"a": spikes(rng, 3, 1, 6), "b": spikes(rng, 3, 1, 4)}
    recording = run(graph, inputs)
    without = replace(recording, nodes={k: v for k, v in recording.nodes.items() if k != "lif"})
    with pytest.raises(UsageError, match=r"node 'lif'.*Record every neuron node"):
        count_stage(graph, inputs, without)


def test_a_recording_of_other_samples_is_refused():
    rng = np.random.default_rng(11)
    graph = recurrent(rng)
    inputs = {"a": spikes(rng, 3, 2, 6), "b": spikes(rng, 3, 2, 4)}
    recording = run(graph, {n: x[:, :1] for n, x in inputs.items()})
    with pytest.raises(UsageError, match="recording of 'lif'"):
        count_stage(graph, inputs, recording)


def test_value_nodes_have_no_spikes_and_biases_are_listed():
    ones = np.ones(3)
    nodes = {
        "in": nets.source(2),
        "w": nir.Affine(np.ones((3, 2)), ones),
        "li": nir.LI(ones * 0.01, ones, 0 * ones),
        "out": nets.sink(3),
    }
    graph = nets.graph(nodes, [("in", "w"), ("w", "li"), ("li", "out")])
    counts, _ = counted(graph, {"in": np.ones((4, 1, 2))})
    assert counts.neurons["li"].spikes is None
    assert counts.neurons["li"].updates == 12
    assert "bias" in counts.not_counted["w"]


@pytest.mark.parametrize("nonzero_weights_only", [False, True])
def test_each_sample_and_each_step_apart_are_what_they_count_alone(nonzero_weights_only):
    rng = np.random.default_rng(12)
    graph = recurrent(rng)
    graph.nodes["wb"].weight[rng.random((5, 4)) < 0.5] = 0
    inputs = {"a": spikes(rng, 9, 4, 6, p=0.5), "b": rng.poisson(0.7, (9, 4, 4)).astype(float)}
    options = {"nonzero_weights_only": nonzero_weights_only}
    detail = stage_detail(graph, inputs, run(graph, inputs), **options)

    def parts(count, steps, samples):
        return {n: (ac[:steps, samples].sum(), detail.mac_TB[n][:steps, samples].sum()) for n, ac in count.items()}

    for b in range(4):
        for steps in range(1, 10):
            alone, recording = counted(graph, {n: x[:steps, b : b + 1] for n, x in inputs.items()}, **options)
            assert parts(detail.ac_TB, steps, b) == by_node(alone)
            fired = {n: int(x[:steps, b].sum()) for n, x in detail.spikes_TB.items()}
            assert fired == {n: int(recording.nodes[n].sum()) for n in ("lif", "out_lif")}
    assert len(np.unique(detail.ac_TB["wa"])) > 3, "steps and samples differ"
    assert detail.mac_TB["wb"].sum() > 0


def test_a_flatten_in_front_of_the_output_is_a_wire():
    """Files of other tools end in one; its values are nobody's to count."""
    nodes = {
        "in": nir.Input(np.array([2, 3])),
        "scale": nir.Scale(np.ones((2, 3))),
        "lif": nir.LIF(*(np.full((2, 3), x) for x in (1e-2, 10.0, 0.0, 1.0))),
        "flat": nir.Flatten({"input": np.array([2, 3])}, start_dim=0, end_dim=-1),
        "out": nir.Output(np.array([6])),
    }
    edges = [("in", "scale"), ("scale", "lif"), ("lif", "flat"), ("flat", "out")]
    graph = ChipGraph.from_nir(nir.NIRGraph(nodes, edges, type_check=False), 1e-3)
    inputs = {"in": spikes(np.random.default_rng(0), 5, 2, 2, 3, p=0.5)}
    counts, _ = counted(graph, inputs)
    assert by_node(counts) == {"scale": (int(inputs["in"].sum()), 0)}
