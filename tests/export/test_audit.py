"""What the audit finds: everything but rounding is a mismatch, where it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import nir
import numpy as np
import pytest
from audit_nets import delayed, inputs, network, recorded, two_layers
from export_nets import DT, graph, lif, sink, source
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeport.errors import ArtefactError
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.recording import FLOAT32, Recording


def test_the_interpreter_agrees_with_itself():
    chip, x = network(1), inputs(1)
    agreement = audit(chip, {"input": x}, recorded(chip, x))
    assert agreement.exact
    assert (agreement.ties, agreement.mismatches, agreement.first_divergence) == (0, 0, None)
    assert agreement.jaccard == agreement.equal_spikes == 1
    node = agreement.per_node["cell"]
    assert (
        node.spikes_reference
        == node.spikes_backend
        == node.spikes_shared
        == run(chip, {"input": x}).nodes["cell"].sum()
    )
    assert agreement.per_node["v"].jaccard is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 59), st.integers(0, 3), st.integers(0, 11))
def test_one_flipped_spike_is_found_where_it_is(step, sample, neuron):
    chip, x = network(3), inputs(3)
    made = recorded(chip, x)
    nodes = {n: np.array(v) for n, v in made.nodes.items()}
    nodes["cell"][step, sample, neuron] ^= 1
    agreement = audit(chip, {"input": x}, replace(made, nodes=nodes))
    assert agreement.mismatches == 1
    assert not agreement.exact
    first = agreement.first_divergence
    assert first is not None
    assert (first.node, first.step, first.sample, first.neuron) == ("cell", step, sample, (neuron,))


def test_value_nodes_are_held_to_the_bound():
    chip, x = network(3), inputs(3)
    made = recorded(chip, x)
    for change, wrong in ((1e-9, 0), (1e-4, 1), (np.nan, 1)):
        nodes = {n: np.array(v) for n, v in made.nodes.items()}
        nodes["v"][30, 1, 2] += change
        agreement = audit(chip, {"input": x}, replace(made, nodes=nodes))
        assert agreement.per_node["v"].mismatches == wrong
        assert agreement.per_node["output"].mismatches == 0
        assert agreement.exact is not bool(wrong)


def changed(chip: ChipGraph, **fields) -> ChipGraph:
    nodes = dict(chip.nodes)
    cell = nodes["cell"]
    names = ("tau", "r", "v_leak", "v_threshold", "v_reset")
    nodes["cell"] = nir.LIF(**({k: getattr(cell, k) for k in names} | fields))
    return replace(chip, nodes=nodes)


def test_other_networks_are_mismatches():
    chip, x = network(4), inputs(4)
    cell = chip.nodes["cell"]
    right = recorded(chip, x)
    others = {
        "beta": changed(chip, tau=cell.tau * 1.01),
        "leak": changed(chip, v_leak=cell.v_leak + 1e-2),
        "reset": changed(chip, v_reset=cell.v_reset + 1e-2),
        "threshold": changed(chip, v_threshold=cell.v_threshold * 1.001),
    }
    for name, other in others.items():
        agreement = audit(chip, {"input": x}, recorded(other, x))
        assert agreement.mismatches > 0, name
        assert agreement.equal_spikes > 0.9
        assert agreement.first_divergence is not None
    late = {n: np.roll(v, 1, axis=0) for n, v in right.nodes.items()}
    assert audit(chip, {"input": x}, replace(right, nodes=late)).mismatches > 50


def soft(beta: float) -> ChipGraph:
    """Subtract with delay beside `hard`: same names for the spikes."""
    o = np.ones(6)
    nodes = {
        "input": source(6),
        "membrane": nir.LI(tau=o * DT / (1 - beta), r=o / (1 - beta), v_leak=0 * o),
        "cell": nir.Threshold(o),
        "reset": nir.Scale(-o),
        "output": sink(6),
    }
    edges = [("input", "membrane"), ("membrane", "cell"), ("cell", "reset"), ("reset", "membrane"), ("cell", "output")]
    return graph(nodes, edges)


def test_subtraction_and_reset_to_zero_are_told_apart():
    chip = soft(0.9)
    x = np.random.default_rng(0).uniform(0, 1, (60, 3, 6))
    hard = graph(
        {"input": source(6), "cell": lif(6, a=0.1, r=10.0), "output": sink(6)}, [("input", "cell"), ("cell", "output")]
    )
    wrong = run(hard, {"input": x}).nodes
    made = recorded(chip, x)
    assert audit(chip, {"input": x}, made).exact
    mixed = dict(made.nodes) | {"cell": wrong["cell"], "output": wrong["output"]}
    agreement = audit(chip, {"input": x}, replace(made, nodes=mixed))
    assert agreement.mismatches > 20
    assert agreement.first_divergence is not None
    assert agreement.first_divergence.node == "cell"


def test_declared_latency_is_taken_off_and_early_spikes_are_mismatches():
    chip, x = network(5), inputs(5)
    made = recorded(chip, x)
    late = delayed(made, {"cell": 1, "v": 2, "output": 2})
    assert audit(chip, {"input": x}, late).exact
    undeclared = replace(late, latency_steps={"cell": 0, "v": 2, "output": 2})
    assert audit(chip, {"input": x}, undeclared).mismatches > 0
    late.nodes["cell"][0, 2, 5] = 1  # type: ignore[index]
    agreement = audit(chip, {"input": x}, late)
    assert (agreement.mismatches, agreement.per_node["cell"].early) == (1, 1)
    assert agreement.equal_spikes == 1
    first = agreement.first_divergence
    assert first is not None
    assert (first.step, first.sample, first.node, first.neuron) == (-1, 2, "cell", (5,))
    assert not agreement.exact


def test_a_bias_that_acts_during_the_latency_is_a_mismatch():
    """Lava's trap: the bias charges the membrane for L extra steps."""
    chip = graph(
        {
            "input": source(2),
            "fc": nir.Affine(np.eye(2), np.full(2, 0.15)),
            "cell": lif(2, a=0.1, r=10.0),
            "output": sink(2),
        },
        [("input", "fc"), ("fc", "cell"), ("cell", "output")],
    )
    x = np.random.default_rng(0).uniform(0, 0.3, (50, 3, 2))
    early = np.concatenate([np.zeros((1, 3, 2)), x])
    wrong = run(chip, {"input": early})
    latency = dict.fromkeys(wrong.nodes, 1)
    recording = Recording(wrong.nodes, latency, 50, FLOAT32)
    assert audit(chip, {"input": x}, recording).mismatches > 0
    right = delayed(recorded(chip, x), latency)
    assert audit(chip, {"input": x}, right).exact


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from(["first", "last"])), min_size=1))
def test_the_outcome_does_not_depend_on_the_batch(flips):
    chip, x = two_layers()
    made = recorded(chip, x)
    nodes = {n: np.array(v) for n, v in made.nodes.items()}
    for step, sample, name in flips:
        nodes[name][step, sample, 1] ^= 1
    recording = replace(made, nodes=nodes)
    outcomes = [audit(chip, {"input": x}, recording, batch=b) for b in (1, 2, 4, 6)]
    order = {"first": 0, "last": 1}
    step, _, sample, name = min((t, order[n], b, n) for t, b, n in flips)
    for agreement in outcomes:
        assert agreement.mismatches == len(flips)
        first = agreement.first_divergence
        assert first is not None
        assert (first.step, first.sample, first.node) == (step, sample, name)
        assert agreement.per_node == outcomes[0].per_node


def test_malformed_recordings_are_named():
    chip, x = two_layers()
    made = recorded(chip, x)
    without = {n: v for n, v in made.nodes.items() if n != "last"}
    bad = {
        "missing": replace(made, nodes=without),
        "needed": replace(made, nodes={n: v[:-1] for n, v in made.nodes.items()}),
        r"0 or 1": replace(made, nodes={n: v * 2 for n, v in made.nodes.items()}),
        "latency": replace(made, latency_steps=dict.fromkeys(made.nodes, -1)),
    }
    for match, recording in bad.items():
        with pytest.raises(ArtefactError, match=match):
            audit(chip, {"input": x}, recording)
    with pytest.raises(ArtefactError, match="needed"):
        audit(chip, {"input": x}, replace(made, latency_steps=dict.fromkeys(made.nodes, 1)))


def test_every_combination_of_latency_and_batch_agrees():
    chip, x = two_layers()
    made = recorded(chip, x)
    for late, batch in product((0, 1, 3), (1, 4)):
        steps = {"first": late, "last": 2 * late, "output": 2 * late}
        assert audit(chip, {"input": x}, delayed(made, steps), batch=batch).exact
