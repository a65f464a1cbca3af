"""norse really run: the legalised graph is the reference in float32, the graph as it stands is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import nir
import numpy as np
import pytest
from deploy_nets import convolutions, currents, inputs, mlp, recurrent, two_branches

from spikeport.deploy.norse import backend
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph

Net = Callable[[], ChipGraph]


def without_leak(net: ChipGraph) -> ChipGraph:
    nodes = {
        n: replace(node, v_leak=0 * node.v_leak) if isinstance(node, nir.LIF) else node for n, node in net.nodes.items()
    }
    return replace(net, nodes=nodes)


@pytest.mark.parametrize("make", [mlp, two_branches, convolutions, recurrent, currents])
def test_every_spike_is_the_references(make: Net) -> None:
    net = without_leak(make())
    x = inputs(net)
    agreement = audit(net, x, backend.lower(net).run(x))
    assert agreement.exact, agreement.first_divergence
    assert all(node.spikes_reference != 0 for node in agreement.per_node.values())


def test_a_graph_that_is_not_legalised_is_another_network() -> None:
    net = without_leak(mlp())
    x = inputs(net)
    program = backend.lower(net)
    naive = replace(program, legal={plain: net.nodes[node] for node, plain in program.names.items()})
    assert audit(net, x, naive.run(x)).mismatches > 0


def test_samples_in_several_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net = without_leak(recurrent())
    x = inputs(net, samples=5)
    program = backend.lower(net)
    whole = program.run(x)
    monkeypatch.setattr("spikeport.deploy.norse.program._ELEMENTS_AT_ONCE", 1)
    np.testing.assert_array_equal(program.run(x).nodes["y"], whole.nodes["y"])
