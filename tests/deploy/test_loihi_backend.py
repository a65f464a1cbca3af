"""Backend `loihi` and `lava-fixed` run the same quantised stage: bit for bit the same, latency included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from deploy_nets import EXACT, inputs, mlp, readout, two_branches

from spikeport.deploy import backends
from spikeport.deploy.lava import fixed_backend
from spikeport.deploy.loihi.backend import backend
from spikeport.deploy.loihi.program import LoihiProgram
from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.graph import ChipGraph

Net = Callable[[], ChipGraph]


@pytest.mark.parametrize("make", [*EXACT, readout])
def test_the_engine_is_lava_bit_for_bit(make: Net) -> None:
    net = make()
    x = inputs(net)
    ours, theirs = backend.lower(net, x).run(x), fixed_backend.lower(net, x).run(x)
    assert set(ours.nodes) == set(theirs.nodes)
    assert ours.latency_steps == theirs.latency_steps
    assert ours.unit_roundoff is None
    for name, values in theirs.nodes.items():
        np.testing.assert_array_equal(ours.nodes[name], values)
        assert np.any(values)


def test_graded_inputs_are_scaled_as_for_lava() -> None:
    net = mlp()
    x = {"x": np.random.default_rng(0).normal(size=(10, 2, 20))}
    ours, theirs = backend.lower(net, x).run(x), fixed_backend.lower(net, x).run(x)
    for name, values in theirs.nodes.items():
        np.testing.assert_array_equal(ours.nodes[name], values)
    with pytest.raises(UsageError, match="not whole numbers"):
        backend.lower(net).run(x)


def test_it_explains_as_lava_fixed_does() -> None:
    net = mlp()
    assert backends.get("loihi").explain(net) == fixed_backend.explain(net)


def test_it_says_how_late_every_layer_is() -> None:
    net = two_branches()
    reasons = {verdict.node: verdict.reason for verdict in backend.explain(net)}
    program = backend.lower(net)
    late = program.run(inputs(net)).latency_steps
    assert late["y"] == 3
    for name in ("x_1", "deep", "shallow", "y"):
        steps = "1 step" if late[name] == 1 else f"{late[name]} steps"
        assert f"; {steps} late, one a hop, and held at 0 until then, its bias too" in reasons[name]


def test_a_synaptic_state_that_wraps_is_refused() -> None:
    net = mlp()
    x = inputs(net)
    quantised = backend.lower(net, x).quantised
    program = LoihiProgram(
        net, replace(quantised, layers=[replace(layer, du_N=0 * layer.du_N) for layer in quantised.layers])
    )
    many = {"x": np.ones((4000, 1, 20))}
    with pytest.raises(UnfaithfulError, match="left the 24 bits"):
        program.run(many)
