"""A membrane with a threshold behind it is one neuron: against the interpreter, which knows no such neuron."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from deploy_nets import affine, graph, inputs, lif, rng, sink, source
from float_oracle import run_stage
from hypothesis import given, settings
from hypothesis import strategies as st
from soft_nets import leaky, soft, two_layers

from spikeport.deploy.hops import RefusedError
from spikeport.deploy.lowering.soft_reset import folded_neurons
from spikeport.deploy.stage import lower_hops, refusals
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import Interpreter


def mismatches(net: ChipGraph, seed: int = 7, timesteps: int = 60, naive: bool = False) -> int:
    given_TBN = inputs(net, timesteps=timesteps, seed=seed)
    found = audit(net, given_TBN, run_stage(lower_hops(net), given_TBN, naive))
    assert naive or found.exact, found.first_divergence
    return found.mismatches


def test_by_hand() -> None:
    """Beta 1/2, theta 1, K 1: after a spike at v = 1.5 the loop gives 0.75 + 0 - 1, and so does 1.5 - 2, halved."""
    nodes, edges, registers, entry = soft("n", 1, 0.5, 1.0, 1.0)
    net = graph({"x": source(1), "out": sink(1)} | nodes, [*edges, ("x", entry), ("n", "out")], registers=registers)
    one = folded_neurons(net)["n"]
    assert (one.membrane, one.current, one.feedback) == ("n_membrane", None, ("n_reset",))
    np.testing.assert_allclose((one.beta, one.theta, one.k, one.reset_by), [[0.5], [1.0], [1.0], [2.0]], rtol=1e-12)
    x = np.array([1.5, 0.0, 0.0, 1.5])[:, None, None]
    recording = run_stage(lower_hops(net), {"x": x})
    np.testing.assert_allclose(recording.aligned("n_membrane").ravel(), [1.5, -0.25, -0.125, 1.4375], rtol=1e-12)
    assert recording.aligned("n").ravel().tolist() == [1, 0, 0, 1]


decays = st.one_of(st.floats(0.01, 0.999), st.sampled_from([0.0, 0.5, 1.0]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_such_network_is_the_interpreters(data: st.DataObject) -> None:
    n = 12
    by_neuron = data.draw(st.booleans())
    g = rng(data.draw(st.integers(0, 10_000)))
    beta = g.uniform(0.05, 0.99, n) if by_neuron else data.draw(decays)
    theta = g.uniform(0.3, 2.0, n) if by_neuron else data.draw(st.floats(0.1, 2.0))
    k = data.draw(st.sampled_from([None, theta, g.uniform(0.0, 3.0, n), 1.0]))
    alpha = data.draw(st.one_of(st.none(), st.floats(0.0, 0.99)))
    if alpha is not None and k is not None and np.any(np.asarray(beta) == 0):
        alpha = None  # see test_what_must_wait_behind_a_current_is_refused
    net = two_layers(beta, theta, k, alpha, recurrent=data.draw(st.booleans()), seed=data.draw(st.integers(0, 99)))
    assert set(folded_neurons(net)) == {"a", "b"}
    mismatches(net)


def test_taking_off_k_at_once_is_another_network() -> None:
    net = two_layers(0.7, 1.0, 1.0)
    assert mismatches(net) == 0
    assert mismatches(net, naive=True) > 100


def test_a_mixed_layer_takes_off_at_once_or_late_by_neuron() -> None:
    beta = np.where(np.arange(12) % 3 == 0, 0.0, 0.8)
    net = two_layers(beta, 1.0, 1.0)
    neuron = folded_neurons(net)["a"]
    np.testing.assert_allclose(neuron.late, np.where(beta == 0, 1.0, 0.0))
    np.testing.assert_allclose(neuron.reset_by, np.where(beta == 0, 0.0, 1.25), rtol=1e-12)
    assert mismatches(net) == 0


def test_what_must_wait_behind_a_current_is_refused() -> None:
    with pytest.raises(RefusedError, match="membrane feeds"):
        lower_hops(two_layers(0.0, 1.0, 1.0, alpha=0.5))


def test_a_current_and_a_membrane_that_are_only_read() -> None:
    nodes = {
        "x": source(6),
        "w": affine(6, 5, 0),
        "i": leaky(5, 0.6),
        "m": leaky(5, 0.9),
        "i_out": sink(5),
        "out": sink(5),
    }
    net = graph(nodes, [("x", "w"), ("w", "i"), ("i", "m"), ("i", "i_out"), ("m", "out")])
    assert [one.spikes for one in folded_neurons(net).values()] == [None]
    assert [layer.name for layer in lower_hops(net).layers] == ["m"]
    assert mismatches(net) == 0


def test_the_no_delay_loop_is_no_single_neuron() -> None:
    """Two thresholds read one membrane's signals: nothing may be folded away in silence."""
    nodes = {"x": source(3), "m": leaky(3, 0.9), "s": nir.Threshold(np.ones(3)), "t": nir.Threshold(np.ones(3))}
    nodes |= {"out": sink(3), "out2": sink(3)}
    net = graph(nodes, [("x", "m"), ("m", "s"), ("m", "t"), ("s", "out"), ("t", "out2")])
    assert folded_neurons(net) == {}
    assert "m" in refusals(net)


@pytest.mark.parametrize("what", ["exciting", "wide", "shared"])
def test_what_is_no_reset_stays_a_connection(what: str) -> None:
    nodes, edges, registers, entry = soft("n", 4, 0.8, 1.0, None)
    back: nir.NIRNode = nir.Linear(-np.ones((4, 4))) if what == "wide" else nir.Scale(np.full(4, 0.3))
    if what == "shared":
        back = nir.Scale(np.full(4, -1.0))
        nodes |= {"y": lif(4), "y_out": sink(4)}
        edges += [("back", "y"), ("y", "y_out")]
    nodes |= {"x": source(4), "out": sink(4), "back": back}
    edges += [("x", entry), ("n", "out"), ("n", "back"), ("back", entry)]
    net = graph(nodes, edges, registers=registers | {("n", "back")})
    assert folded_neurons(net)["n"].feedback == ()
    assert mismatches(net) == 0


def test_a_membrane_that_feeds_neurons_is_refused_by_name() -> None:
    nodes, edges, registers, entry = soft("n", 4, 0.8, 1.0, 1.0)
    nodes |= {"x": source(4), "w": affine(4, 4, 0), "y": lif(4), "out": sink(4)}
    edges += [("x", entry), ("n_membrane", "w"), ("w", "y"), ("y", "out")]
    net = graph(nodes, edges, registers=registers)
    assert "n_membrane" in refusals(net)


def test_the_interpreter_is_the_loop() -> None:
    """The oracle of this file, held against the loop written out."""
    net = two_layers(0.7, 1.0, 1.0, read=False)
    x = inputs(net, timesteps=40)["x"]
    interpreter = Interpreter(net)
    interpreter.reset(x.shape[1])
    got = np.stack([np.array(interpreter.step({"x": row})["a"]) for row in x])
    weight, bias = net.nodes["wa"].weight, net.nodes["wa"].bias
    v = s = np.zeros(got[0].shape)
    for t, row in enumerate(x):
        v = 0.7 * v + row @ weight.T + bias - s
        s = (v > 1).astype(float)
        np.testing.assert_array_equal(got[t], s)
