"""What cannot be done is refused with node, value, reason and fix, and `explain` says the same as `lower`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest
from deploy_nets import DT, EXACT, affine, chain, inputs, lif, mlp, readout, sink, source

from spikeport.deploy import backends
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph

LAVA = ("lava-float", "lava-fixed")
ALL = (*LAVA, "norse")
O = np.ones(10)  # noqa: E741


def with_neuron(node: nir.NIRNode) -> ChipGraph:
    return chain(x=source(20), a=affine(20, 10, 0), n=node, out=sink(10))


def changed(**fields: Any) -> ChipGraph:
    return with_neuron(replace(lif(10), **fields))


def value_feeds_neuron() -> ChipGraph:
    return chain(
        x=source(20), a=affine(20, 10, 0), n=nir.LI(tau=O * 5 * DT, r=O, v_leak=0 * O), y=lif(10), out=sink(10)
    )


def one_dimensional() -> ChipGraph:
    conv = nir.Conv1d(9, np.ones((1, 2, 2)), 1, 0, 1, 1, np.ones(1))
    return chain(x=source(2, 9), n=conv, y=lif(1, 8), out=sink(1, 8))


REFUSED: list[tuple[ChipGraph, tuple[str, ...], str]] = [
    (changed(tau=np.linspace(2, 9, 10) * DT), (), ""),
    (changed(v_threshold=np.linspace(1, 2, 10)), (), ""),
    (changed(tau=np.linspace(2, 10002, 10) * DT), ("lava-fixed",), "a step of neuron 8"),
    (changed(v_threshold=np.linspace(0, 2, 10)), ("lava-fixed",), "v_threshold 0"),
    (changed(v_reset=O * 0.25), LAVA, "v_reset 0.25"),
    (changed(v_leak=O * 0.125), (), ""),
    (changed(r=O * -1.0), (), ""),
    (value_feeds_neuron(), LAVA, ""),
    (with_neuron(nir.Threshold(O * 0.5)), (), ""),
    (changed(tau=O * 10000 * DT), ("lava-fixed",), "membrane decay of 0.0001"),
    (changed(v_threshold=O * 0.0), ("lava-fixed",), "v_threshold 0"),
    (changed(v_threshold=O * 1e-5), ("lava-fixed",), "v_threshold 1e-05"),
    (with_neuron(nir.LI(tau=O * 5 * DT, r=O, v_leak=0 * O)), (), ""),
    (with_neuron(nir.Delay(O * DT)), LAVA, "elay"),
    (one_dimensional(), (), ""),
    (with_neuron(nir.IF(r=O * 3, v_threshold=O)), ALL, ""),
]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("net", "by", "value"), REFUSED, ids=range(len(REFUSED)))
def test_explain_and_lower_agree(net: ChipGraph, by: tuple[str, ...], value: str, name: str) -> None:
    backend = backends.get(name)
    refused = {verdict.node: verdict for verdict in backend.explain(net) if verdict.fate == "refused"}
    if name not in by:
        assert not refused
        return
    assert list(refused) == ["n"]
    with pytest.raises(UnfaithfulError) as caught:
        backend.lower(net)
    assert "'n'" in caught.value.subject
    assert value in caught.value.subject
    assert caught.value.fix
    assert refused["n"].reason == f"{caught.value.reason}. {caught.value.fix}"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("make", [*EXACT, readout])
def test_every_node_gets_a_verdict_without_importing_the_backend(make: Any, name: str) -> None:
    net = make()
    verdicts = backends.get(name).explain(net)
    assert {verdict.node for verdict in verdicts} == set(net.nodes)
    assert all(verdict.reason for verdict in verdicts if verdict.fate != "native")
    assert not {"lava", "norse"} & set(sys.modules)


def test_a_bias_that_drowns_the_weights_is_refused() -> None:
    net = chain(x=source(20), n1=nir.Affine(np.full((10, 20), 1e-4), np.full(10, 50.0)), n=lif(10), out=sink(10))
    with pytest.raises(UnfaithfulError, match="13-bit bias"):
        backends.get("lava-fixed").lower(net)


def test_synapses_into_an_output_need_a_neuron_on_loihi() -> None:
    net = mlp()
    nodes = {**net.nodes, "z": affine(10, 4, 9), "out": sink(4)}
    edges = [("x", "a"), ("a", "h"), ("h", "b"), ("b", "y"), ("y", "z"), ("z", "out")]
    linear = ChipGraph.from_nir(nir.NIRGraph(nodes, edges, type_check=False), DT)
    with pytest.raises(UnfaithfulError, match="'out'"):
        backends.get("lava-fixed").lower(linear)
    floating = backends.get("lava-float").lower(linear).run(inputs(linear))
    expected = backends.get("reference").lower(linear).run(inputs(linear))
    np.testing.assert_allclose(floating.aligned("out"), expected.nodes["out"], rtol=1e-12)
