"""Hops and latencies: composition is the network's own arithmetic, and everything arrives when it must."""

from __future__ import annotations

from math import prod

import nir
import numpy as np
import pytest
from deploy_nets import (
    affine,
    chain,
    convolutions,
    delayed,
    graph,
    inputs,
    lif,
    recurrent,
    rng,
    sink,
    skip,
    source,
    two_branches,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeport.deploy.hops import RefusedError, compose
from spikeport.deploy.linear import matrix
from spikeport.deploy.stage import lower_hops, refusals
from spikeport.errors import UnfaithfulError
from spikeport.export.operators import operator
from spikeport.export.shapes import output_shape


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_an_unrolled_convolution_is_the_interpreters(data: st.DataObject) -> None:
    small = st.integers(1, 3)
    groups, per_group, out = data.draw(small), data.draw(small), data.draw(small)
    kernel, stride, dilation = (tuple(data.draw(small) for _ in range(2)) for _ in range(3))
    padding = (data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2)))
    g = rng(data.draw(st.integers(0, 1000)))
    weight = g.normal(size=(out * groups, per_group, *kernel))
    node = nir.Conv2d((9, 7), weight, stride, padding, dilation, groups, g.normal(size=out * groups))
    check(node, (per_group * groups, 9, 7))


@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
@pytest.mark.parametrize("padding", [(0, 0), (1, 0)])
def test_an_unrolled_pool_is_the_interpreters(kind: type, padding: tuple[int, int]) -> None:
    check(kind(np.array([2, 3]), np.array([2, 1]), np.array(padding)), (3, 6, 7))


def test_other_stateless_nodes_are_the_interpreters() -> None:
    g = rng(0)
    check(nir.Conv1d(11, g.normal(size=(4, 1, 3)), 2, 1, 1, 2, g.normal(size=4)), (2, 11))
    check(nir.Affine(g.normal(size=(5, 4)), g.normal(size=5)), (3, 4))
    check(nir.Scale(g.normal(size=(3, 4))), (3, 4))
    check(nir.Flatten({"input": np.array([3, 4, 2])}, 1, 2), (3, 4, 2))


def check(node: nir.NIRNode, shape: tuple[int, ...]) -> None:
    out = output_shape("n", node, shape)
    weight, bias = matrix(node, shape, out)
    x = rng(1).normal(size=(2, *shape))
    expected = operator(node).apply(x).reshape(2, -1)
    np.testing.assert_allclose((weight @ x.reshape(2, -1).T).T + bias, expected, rtol=1e-12, atol=1e-12)


def test_a_chain_between_two_neurons_is_one_hop() -> None:
    net = convolutions()
    arriving = compose(net)["y"]
    assert set(arriving.weights) == {("l2", 0)}
    x = rng(2).normal(size=(1, *net.shapes["l2"]))
    expected = x
    for name in ("p1", "p2", "f", "w"):
        expected = operator(net.nodes[name]).apply(expected)
    got = arriving.weights["l2", 0] @ x.ravel() + arriving.bias
    np.testing.assert_allclose(got, expected.ravel(), rtol=1e-12, atol=1e-12)


def test_branches_that_meet_wait_for_the_deepest() -> None:
    stage = lower_hops(two_branches())
    assert {layer.name: layer.latency for layer in stage.layers} == {"x_1": 1, "shallow": 1, "deep": 2, "y": 3}
    waits = {(hop.source, hop.target): hop.wait for hop in stage.hops if hop.target == "y"}
    assert waits == {("deep", "y"): 0, ("shallow", "y"): 1, ("z", "y"): 2}


def test_a_skip_edge_waits() -> None:
    waits = {(hop.source, hop.target): hop.wait for hop in lower_hops(skip()).hops}
    assert waits["l1", "l3"] == 1
    assert waits["l1", "l2"] == 0


def test_one_register_pays_for_one_hop_of_a_loop() -> None:
    stage = lower_hops(recurrent())
    assert [layer.latency for layer in stage.layers] == [1]
    assert {hop.source: hop.wait for hop in stage.hops} == {"x": 0, "y": 0}


def test_a_loop_with_too_few_registers_is_refused() -> None:
    nodes = {"x": source(4), "a": affine(4, 4, 0), "p": lif(4), "b": affine(4, 4, 1), "q": lif(4), "out": sink(4)}
    nodes["c"] = affine(4, 4, 2)
    edges = [("x", "a"), ("a", "p"), ("p", "b"), ("b", "q"), ("q", "out"), ("q", "c"), ("c", "p")]
    with pytest.raises(UnfaithfulError, match="fewer registers than hops"):
        lower_hops(graph(nodes, edges, registers=[("c", "p")]))
    both = graph(nodes, edges, registers=[("c", "p"), ("p", "b")])
    assert {layer.name: layer.latency for layer in lower_hops(both).layers} == {"p": 1, "q": 1}


def test_a_delay_is_a_wait_unless_a_bias_passes_it() -> None:
    net = delayed()
    assert [hop.wait for hop in lower_hops(net).hops] == [0, 2]
    order = ("x", "a", "h", "b", "d", "y", "out")
    refused = refusals(chain(**{name: net.nodes[name] for name in order}))
    assert set(refused) == {"d"}
    assert "bias" in str(refused["d"])


def test_a_layer_too_large_to_unroll_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikeport.deploy.hops.MAX_SYNAPSES", 100)
    net = convolutions()
    with pytest.raises(RefusedError, match=f"'c1' \\({prod(net.shapes['l1']) * 6} synapses\\)"):
        lower_hops(net)
    assert inputs(net)["x"].shape == (12, 3, 2, 9, 8)
