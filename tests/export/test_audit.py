"""The audit: rounding in any arrangement is accepted, everything else is a mismatch."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import nir
import numpy as np
import pytest
from export_nets import DT, chain, graph, lif, sink, source
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeport.errors import ArtefactError
from spikeport.export.audit import TIES_ALLOWED, TIES_LISTED, audit
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import Interpreter, run
from spikeport.export.recording import FLOAT32, FLOAT64, Recording
from spikeport.export.rounding import ErrorBounds

F32 = np.float32


def network(seed: int, kind: str = "lif", size: int = 12, inputs: int = 8, beta: float = 0.9) -> ChipGraph:
    """Affine -> cell -> Affine -> LI, with biases, leaks and gains."""
    rng = np.random.default_rng(seed)
    o = np.ones(size)
    r, leak = rng.uniform(0.5, 2, size) / (1 - beta), rng.normal(size=size) * 0.1
    theta, tau = rng.uniform(0.5, 1.5, size), o * DT / (1 - beta)
    if kind == "lif":
        cell: nir.NIRNode = nir.LIF(tau=tau, r=r, v_leak=leak, v_threshold=theta, v_reset=0.1 * leak)
    elif kind == "cuba":
        syn = rng.uniform(2, 5, size) * DT
        cell = nir.CubaLIF(tau_mem=tau, tau_syn=syn, r=r, v_leak=leak, v_threshold=theta, v_reset=0 * o, w_in=2 * o)
    else:
        cell = nir.IF(r=o, v_threshold=3 * theta, v_reset=0 * o)
    nodes = {
        "input": source(inputs),
        "fc": nir.Affine(rng.normal(size=(size, inputs)) * 0.5, rng.normal(size=size) * 0.1),
        "cell": cell,
        "out": nir.Affine(rng.normal(size=(3, size)), rng.normal(size=3)),
        "v": nir.LI(tau=np.full(3, 5 * DT), r=np.ones(3), v_leak=np.zeros(3)),
        "output": sink(3),
    }
    names = list(nodes)
    return graph(nodes, pairwise(names))


def inputs(seed: int, steps: int = 60, batch: int = 4, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed + 1).integers(0, 2, (steps, batch, size)).astype(float)


def in_float32(chip: ChipGraph, x_TBN: np.ndarray, folded: bool, shuffled: bool, leaky_form: bool) -> Recording:
    """The same network in float32, arranged otherwise: a stand-in for other people's simulators."""
    nodes = chip.nodes
    order = np.random.default_rng(7).permutation(x_TBN.shape[2]) if shuffled else np.arange(x_TBN.shape[2])
    fc, cell, out, value = nodes["fc"], nodes["cell"], nodes["out"], nodes["v"]
    tau = getattr(cell, "tau", getattr(cell, "tau_mem", None))
    a = F32(DT) / tau.astype(F32) if tau is not None else None
    weight, bias = fc.weight.astype(F32)[:, order], fc.bias.astype(F32)
    gain = a * cell.r.astype(F32) if a is not None else None
    cuba = isinstance(cell, nir.CubaLIF)
    if folded and gain is not None and not cuba:
        weight, bias, gain = weight * gain[:, None], bias * gain, None
    batch, size = x_TBN.shape[1], len(bias)
    v, i = np.zeros((batch, size), F32), np.zeros((batch, size), F32)
    u = np.zeros((batch, 3), F32)
    b = F32(DT) / value.tau.astype(F32)
    rows: dict[str, list[np.ndarray]] = {"cell": [], "v": []}
    theta, reset = cell.v_threshold.astype(F32), cell.v_reset.astype(F32)
    for x_BN in x_TBN.astype(F32)[:, :, order]:
        drive = np.zeros((batch, size), F32)
        for k in range(x_BN.shape[1]) if shuffled else reversed(range(x_BN.shape[1])):
            drive = drive + x_BN[:, k, None] * weight[:, k]
        drive = drive + bias
        if cuba:
            s = F32(DT) / cell.tau_syn.astype(F32)
            i = (1 - s) * i + (s * cell.w_in.astype(F32)) * drive if folded else i + s * (F32(2) * drive - i)
            drive = i
        drive = drive * gain if gain is not None else drive
        if a is None:
            v = v + drive
        elif leaky_form:
            v = (1 - a) * v + (a * cell.v_leak.astype(F32) + drive)
        else:
            v = v + (a * (cell.v_leak.astype(F32) - v) + drive)
        spikes = v > theta
        v = np.where(spikes, reset, v)
        current = spikes.astype(F32) @ out.weight.astype(F32).T + out.bias.astype(F32)
        u = (1 - b) * u + b * current if leaky_form else u + b * (current - u)
        rows["cell"].append(spikes.astype(np.uint8))
        rows["v"].append(u)
    recorded = {n: np.stack(r) for n, r in rows.items()} | {"output": np.stack(rows["v"])}
    return Recording(recorded, dict.fromkeys(recorded, 0), len(x_TBN), FLOAT32)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["lif", "cuba", "if"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.2, 0.9, 0.99]),
)
def test_float32_in_any_arrangement_is_within_the_bounds(seed, kind, folded, shuffled, leaky_form, beta):
    chip, x = network(seed, kind, beta=beta), inputs(seed)
    agreement = audit(chip, {"input": x}, in_float32(chip, x, folded, shuffled, leaky_form))
    assert agreement.mismatches == 0
    assert agreement.entries == 60 * 4 * (12 + 3 + 3)


def test_the_float32_stand_in_is_another_arithmetic():
    """Otherwise the property above would hold by itself."""
    chip, x = network(0), inputs(0)
    plain = in_float32(chip, x, False, False, False).nodes["v"]
    other = in_float32(chip, x, True, True, True).nodes["v"]
    exact = run(chip, {"input": x}).nodes["v"]
    assert (plain != other).any()
    assert (plain != exact).any()
    assert 0.02 < run(chip, {"input": x}).nodes["cell"].mean() < 0.9
    beyond = replace(Recording({}, {}, 0, None), nodes=in_float32(chip, x, True, True, True).nodes)
    held = replace(beyond, latency_steps=dict.fromkeys(beyond.nodes, 0), timesteps=60, unit_roundoff=FLOAT64)
    assert audit(chip, {"input": x}, held).mismatches > 0  # float32 does not pass as float64


@pytest.mark.parametrize("kind", ["lif", "cuba", "if"])
def test_the_bounds_are_not_vacuous(kind):
    chip, x = network(2, kind), inputs(2, steps=100)
    seen: dict[str, list[float]] = {"cell": [], "v": []}

    def decide(name, v_BN, spikes_BN):
        # The neurons that could fire at all: an inhibited one drifts away from its threshold without bound.
        near = np.abs(v_BN - chip.nodes[name].v_threshold) < 1
        seen[name].append(float(bounds.error(name)[near].max(initial=0)))
        bounds.fire(name, spikes_BN)
        return spikes_BN

    follow = Interpreter(chip, decide)
    bounds = ErrorBounds(follow, FLOAT32)
    follow.reset(4)
    bounds.reset(4)
    for x_BN in x:
        bounds.begin_step()
        follow.step({"input": x_BN})
        bounds.end_step()
        seen["v"].append(float(bounds.error("v").max()))
    for name, bound in seen.items():
        assert 1e-8 < max(bound) < 1e-3, name


def recorded(chip: ChipGraph, x: np.ndarray, u: float | None = FLOAT32) -> Recording:
    made = run(chip, {"input": x})
    return replace(made, unit_roundoff=u)


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


def near_threshold(gap: float) -> tuple[ChipGraph, np.ndarray]:
    """Every neuron meets `threshold + gap` in every step, from a memoryless membrane."""
    chip = chain((4,), lif(4, a=1.0, theta=1.0))
    return chip, np.full((10, 3, 4), 1.0 + gap)


def test_ties_are_accepted_counted_listed_and_followed():
    chip, x = near_threshold(1e-8)
    made = recorded(chip, x)
    assert made.nodes["n0"].all()
    silent = {n: np.zeros_like(v) for n, v in made.nodes.items()}
    agreement = audit(chip, {"input": x}, replace(made, nodes=silent))
    assert (agreement.mismatches, agreement.ties) == (0, 120)  # the output follows, so it has no difference
    assert len(agreement.tie_list) == TIES_LISTED == 100
    assert not agreement.exact  # far more than 1e-5 of the entries
    assert agreement.tie_list[0].margin == pytest.approx(1e-8)
    far, x = near_threshold(1e-5)
    made = recorded(far, x)
    silent = {n: np.zeros_like(v) for n, v in made.nodes.items()}
    assert audit(far, {"input": x}, replace(made, nodes=silent)).mismatches == 240


def test_after_a_tie_the_state_is_the_backends():
    """beta = 1: after a swallowed spike the membrane keeps its charge, and fires at the next crumb."""
    chip = chain((1,), nir.IF(r=np.ones(1), v_threshold=np.ones(1), v_reset=np.zeros(1)))
    x = np.array([1 + 1e-8, 0.5, 0.4]).reshape(3, 1, 1)
    assert run(chip, {"input": x}).nodes["n0"].ravel().tolist() == [1, 0, 0]
    took = np.array([0, 1, 0]).reshape(3, 1, 1)
    agreement = audit(chip, {"input": x}, Recording({"n0": took, "output": took}, {"n0": 0, "output": 0}, 3, FLOAT32))
    assert (agreement.ties, agreement.mismatches) == (1, 0)
    stubborn = np.array([0, 0, 0]).reshape(3, 1, 1)
    other = Recording({"n0": stubborn, "output": stubborn}, {"n0": 0, "output": 0}, 3, FLOAT32)
    assert audit(chip, {"input": x}, other).per_node["n0"].mismatches == 1  # 1.5 had to fire


def test_exact_allows_one_tie_in_a_hundred_thousand():
    size, steps = 100, 1000
    chip = chain((size,), lif(size, a=1.0, theta=1.0))
    x = np.zeros((steps, 1, size))
    x[:3, 0, 0] = 1 + 1e-8
    made = recorded(chip, x)
    entries = 2 * size * steps
    for ties in (1, 2, 3):
        nodes = {n: np.array(v) for n, v in made.nodes.items()}
        for value in nodes.values():
            value[:ties, 0, 0] = 0
        agreement = audit(chip, {"input": x}, replace(made, nodes=nodes))
        assert (agreement.ties, agreement.entries) == (ties, entries)
        assert agreement.exact == (ties <= TIES_ALLOWED * entries == 2)


def delayed(made: Recording, steps: dict[str, int]) -> Recording:
    most = max(steps.values())
    nodes = {}
    for name, value in made.nodes.items():
        padded = np.zeros((len(value) + most, *value.shape[1:]), value.dtype)
        padded[steps[name] : steps[name] + len(value)] = value
        nodes[name] = padded
    return replace(made, nodes=nodes, latency_steps=steps)


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


def two_layers() -> tuple[ChipGraph, np.ndarray]:
    nodes = {"input": source(3), "first": lif(3, a=1.0, theta=0.5), "last": lif(3, a=1.0, theta=0.5), "output": sink(3)}
    chip = graph(nodes, [("input", "first"), ("first", "last"), ("last", "output")])
    return chip, np.random.default_rng(0).integers(0, 2, (20, 6, 3)).astype(float)


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


def test_listed_ties_do_not_depend_on_the_batch():
    chip, x = near_threshold(1e-8)
    made = recorded(chip, x)
    silent = {n: np.zeros_like(v) for n, v in made.nodes.items()}
    lists = [audit(chip, {"input": x}, replace(made, nodes=silent), batch=b).tie_list for b in (1, 2, 3)]
    assert lists[0] == lists[1] == lists[2]
    assert lists[0]


def test_a_quantised_recording_is_held_to_float64():
    chip, x = near_threshold(1e-8)
    made = recorded(chip, x, None)
    silent = {n: np.zeros_like(v) for n, v in made.nodes.items()}
    agreement = audit(chip, {"input": x}, replace(made, nodes=silent))
    assert agreement.ties == 0
    assert agreement.per_node["n0"].mismatches == 120
    assert agreement.jaccard == 0


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


@pytest.mark.parametrize("beta", [0.99, 0.999, 0.9999])
@pytest.mark.parametrize("form", ["leaky", "euler"])
def test_a_long_lived_membrane_is_within_the_bounds(form, beta):
    """Nothing but the update line rounds here, for 400 steps: what is bounded is its own rounding."""
    chip = chain((50,), nir.LI(tau=np.full(50, DT / (1 - beta)), r=np.full(50, 1 / (1 - beta)), v_leak=np.zeros(50)))
    x = np.random.default_rng(0).integers(0, 2, (400, 2, 50)).astype(float)
    a, v, rows = F32(1 - beta), np.zeros((2, 50), F32), []
    for x_BN in x.astype(F32):
        v = F32(beta) * v + x_BN if form == "leaky" else v + a * (F32(1 / (1 - beta)) * x_BN - v)
        rows.append(v)
    nodes = {"n0": np.stack(rows), "output": np.stack(rows)}
    agreement = audit(chip, {"input": x}, Recording(nodes, dict.fromkeys(nodes, 0), 400, FLOAT32))
    assert agreement.mismatches == 0
    error = np.abs(nodes["n0"] - run(chip, {"input": x}).nodes["n0"])
    assert error.max() > FLOAT32 * np.abs(nodes["n0"]).max()  # more than the last rounding alone


def test_a_quantised_spike_at_the_threshold_is_no_tie():
    chip = chain((1,), lif(1, a=1.0, theta=1.0))
    x = np.ones((5, 1, 1))
    fired = np.ones((5, 1, 1), np.uint8)
    recording = Recording({"n0": fired, "output": fired}, {"n0": 0, "output": 0}, 5, None)
    agreement = audit(chip, {"input": x}, recording)
    assert (agreement.ties, agreement.per_node["n0"].mismatches) == (0, 5)
