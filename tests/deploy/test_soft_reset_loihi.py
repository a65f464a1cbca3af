"""Resets by subtraction, none, and currents in Loihi's integers: against plain integer steps and the float network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from deploy_nets import affine, chain, graph, inputs, sink, source
from integer_oracle import simulate
from numpy.typing import ArrayLike
from soft_nets import leaky, soft, two_layers

from spikeport.deploy import backends
from spikeport.deploy.hops import RefusedError
from spikeport.deploy.loihi.program import LoihiProgram
from spikeport.deploy.loihi.quantise import quantise
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run

OWN_BETA = np.linspace(0.2, 0.95, 12)
OWN_THETA = np.linspace(0.4, 1.6, 12)
NETS = {
    "subtract": two_layers(0.9, 1.0, 1.0),
    "subtract, twice the threshold": two_layers(0.7, 0.5, 1.0),
    "subtract, Synaptic": two_layers(0.8, 1.0, 1.0, alpha=0.6),
    "subtract, recurrent": two_layers(0.9, 1.0, 1.0, recurrent=True),
    "subtract, without leak": two_layers(1.0, 1.0, 1.0, bias=0.0),
    "subtract, without memory": two_layers(0.0, 1.0, 0.7),
    "no reset": two_layers(0.9, 1.0, None),
    "no reset, Synaptic": two_layers(0.8, 1.0, None, alpha=0.6),
    "a neuron's own beta": two_layers(OWN_BETA, 1.0, 1.0),
    "a neuron's own threshold": two_layers(0.9, OWN_THETA, OWN_THETA),
    "a neuron's own reset": two_layers(0.9, 1.0, np.linspace(0.3, 1.8, 12)),
    "everything its own": two_layers(OWN_BETA, OWN_THETA, OWN_THETA, alpha=np.linspace(0.7, 0.1, 12)),
    "everything its own, recurrent": two_layers(OWN_BETA, OWN_THETA, OWN_THETA, OWN_BETA[::-1], recurrent=True),
    "beta 0 among others, no reset": two_layers(np.where(np.arange(12) % 3 == 0, 0.0, 0.6), OWN_THETA, None),
}


def lowered(net: ChipGraph, timesteps: int = 40) -> tuple[LoihiProgram, dict[str, np.ndarray]]:
    given = inputs(net, timesteps=timesteps, samples=4)
    return LoihiProgram(net, quantise(net, given)), given


@pytest.mark.parametrize("net", NETS.values(), ids=NETS.keys())
def test_the_engine_is_the_plain_integer_step(net: ChipGraph) -> None:
    program, given = lowered(net)
    recording = program.run(given)
    expected = simulate(program.quantised, {n: x.astype(np.int64) for n, x in given.items()})
    for layer in program.quantised.layers:
        name = layer.layer.name
        got = recording.aligned(name)
        np.testing.assert_array_equal(got.reshape(*got.shape[:2], -1), expected[name])
        assert 0.02 < got.mean() < 0.9
        before = recording.aligned(layer.layer.membrane) * np.float64(layer.scale_N)
        np.testing.assert_array_equal(before > layer.vth_mant_N * 64 + 0.5, got == 1)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS.keys())
def test_it_is_the_float_network_up_to_rounding(net: ChipGraph) -> None:
    program, given = lowered(net)
    recording, reference = program.run(given), run(net, given)
    found = audit(net, given, recording)
    assert found.jaccard > (0.5 if "a_back" in net.nodes else 0.8)
    if "a_back" in net.nodes:
        return  # one other spike moves all membranes
    first = program.quantised.layers[0].layer
    shown = recording.aligned(first.membrane).astype(np.float64)
    agree = (recording.aligned(first.name) == reference.nodes[first.name]).all(axis=0)
    error = np.abs(shown - reference.nodes[first.membrane])[:, agree]
    assert error.max() < 0.05 * np.abs(reference.nodes[first.membrane]).max()
    if first.current:
        current = recording.aligned(first.current).astype(np.float64)
        np.testing.assert_allclose(current, reference.nodes[first.current], atol=0.05)


def test_r_is_a_parameter_of_its_own() -> None:
    """By hand: beta 0.5 is dv 2048, so R = 2 K; taking off the threshold instead is another network."""
    nodes, edges, registers, entry = soft("n", 1, 0.5, 1.0, 1.0)
    nodes |= {"x": source(1), "w": affine(1, 1, 0, gain=0.0, bias=0.0), "out": sink(1)}
    nodes["w"].weight[:] = 0.9
    net = graph(nodes, [*edges, ("x", "w"), ("w", entry), ("n", "out")], registers=registers)
    given = {"x": np.ones((30, 1, 1))}
    layer = quantise(net, given).layers[0]
    assert layer.dv_N == 2048
    assert layer.reset_by_N == pytest.approx(2 * layer.vth_mant_N * 64, abs=1)
    # v is 0.9, 1.35 (less 2 is -0.65), 0.575, 1.1875 (less 2 is -0.8125), 0.494, 1.147; less 1 it were 1.075 at once.
    spikes = LoihiProgram(net, quantise(net, given)).run(given).aligned("n").ravel()
    assert spikes[:6].tolist() == run(net, given).nodes["n"].ravel()[:6].tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("beta", "alpha", "value"),
    [
        (0.9, 1.0, "synaptic decay of 0 a step"),
        (np.where(np.arange(12) == 7, 0.99995, 0.9), None, "membrane decay of 5e-05 a step of neuron 7"),
        (0.9, np.where(np.arange(12) == 3, 0.99995, 0.5), "synaptic decay of 5e-05 a step of neuron 3"),
    ],
)
def test_a_decay_that_12_bits_do_not_hold_is_refused(beta: ArrayLike, alpha: ArrayLike | None, value: str) -> None:
    net = two_layers(beta, 1.0, 1.0, alpha)
    with pytest.raises(RefusedError, match=value):
        quantise(net)
    refused = [v for v in backends.get("loihi").explain(net) if v.fate == "refused"]
    assert {v.node for v in refused} == {"a", "b"}


def test_another_time_constant_as_advised() -> None:
    assert np.all(quantise(two_layers(0.9, 1.0, 1.0, 0.5)).layers[0].reset_by_N)


def test_every_neuron_has_its_own_integers() -> None:
    """By hand: thresholds 1 and 2 are exact multiples of 64, and beta 1/2 and 3/4 are dv 2048 and 1024."""
    beta, theta = np.array([0.5, 0.75]), np.array([1.0, 2.0])
    nodes, edges, registers, entry = soft("n", 2, beta, theta, theta)
    nodes |= {"x": source(1), "w": affine(1, 2, 0, gain=0.0, bias=0.0), "out": sink(2)}
    nodes["w"].weight[:] = 0.9
    net = graph(nodes, [*edges, ("x", "w"), ("w", entry), ("n", "out")], registers=registers)
    given = {"x": np.ones((30, 1, 1))}
    layer = quantise(net, given).layers[0]
    assert layer.dv_N.tolist() == [2048, 1024]
    np.testing.assert_allclose(layer.scale_N * theta, 64 * layer.vth_mant_N, rtol=1e-12)
    # What is taken off is K / beta: twice the threshold, and four thirds of it.
    np.testing.assert_allclose(layer.reset_by_N, 64 * layer.vth_mant_N * [2, 4 / 3], atol=1)
    # The first as above; the second is 0.9, 1.575, 2.08 (less 2.67 is -0.59), 0.46, 1.245, 1.834, 2.275.
    spikes = LoihiProgram(net, quantise(net, given)).run(given).aligned("n")[:, 0].T
    assert spikes[:, :7].tolist() == [[0, 1, 0, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0, 1]]
    np.testing.assert_array_equal(spikes[:, :7].T, run(net, given).nodes["n"][:7, 0])


def test_one_number_for_all_neurons_would_be_another_network() -> None:
    """Each of the four parameters is told apart: giving all neurons the mean one changes spikes of some."""
    net = NETS["everything its own"]
    program, given = lowered(net)
    found = program.run(given).aligned("a")
    for name in ("du_N", "dv_N", "vth_mant_N", "reset_by_N"):
        layers = [replace(x, **{name: np.full(12, int(getattr(x, name).mean()))}) for x in program.quantised.layers]
        naive = LoihiProgram(net, replace(program.quantised, layers=layers)).run(given).aligned("a")
        assert (found != naive).any(axis=(0, 1)).mean() > 0.2, name


def test_a_current_that_is_only_read() -> None:
    net = chain(x=source(6), w=affine(6, 5, 0), i=leaky(5, 0.6), m=leaky(5, 0.9), out=sink(5))
    program, given = lowered(net)
    recording, reference = program.run(given), run(net, given)
    for node in ("i", "m", "out"):
        expected = reference.nodes[node]
        np.testing.assert_allclose(recording.aligned(node), expected, rtol=0, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("beta", [1 / 4, 1 / 64])
def test_a_reset_that_fills_the_range_stays_within_it(beta: float) -> None:
    """Without weights nothing else limits the scale; rounded to a whole threshold it would take 2^23 off."""
    nodes, edges, registers, entry = soft("n", 1, beta, 1.0, 1.0)
    nodes |= {"x": source(1), "w": affine(1, 1, 0, gain=0.0, bias=0.0), "out": sink(1)}
    net = graph(nodes, [*edges, ("x", "w"), ("w", entry), ("n", "out")], registers=registers)
    program = LoihiProgram(net, quantise(net, {"x": np.ones((5, 1, 1))}))
    assert program.quantised.layers[0].reset_by_N.tolist() == [2**23 - 1]
    assert not program.run({"x": np.ones((5, 1, 1))}).nodes["n"].any()


def test_a_strong_reset_leaves_room_below_zero() -> None:
    """Beta 1/100 takes off a hundred thresholds at once: v must not be held at its limit."""
    net = two_layers(0.01, 1.0, 1.0)
    program, given = lowered(net)
    records = program.records(given)
    assert sum(records.saturations.values()) == 0
    assert audit(net, given, program.run(given)).jaccard > 0.8
