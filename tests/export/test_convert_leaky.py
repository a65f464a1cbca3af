"""snnTorch's `Leaky` with each reset, decay, threshold and grading, against snnTorch's own run."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from convert_nets import IMAGES, X, dense
from export_nets import converted, exported, leaky, node_spikes, samples
from torch import nn

from spikeport.errors import SpikeportError, UnfaithfulError
from spikeport.export.verify import verify


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_resets(reset, delay):
    net = dense(leaky(reset_mechanism=reset, reset_delay=delay))
    conversion, agreement = exported(net, X)
    assert agreement.exact
    spikes = node_spikes(conversion, X)["_1"]
    assert 0.02 < spikes.mean() < 0.98
    kinds = [type(n).__name__ for n in conversion.graph.nodes.values()]
    wanted = {"zero": ["LIF"], "subtract": ["LI", "Threshold", "Scale"], "none": ["LI", "Threshold"]}[reset]
    if reset == "subtract" and not delay:
        wanted = ["Scale", "LI", "Scale", "Threshold", "Scale", "Threshold", "Scale"]
    assert kinds == ["Input", "Affine", *wanted, "Output"]


def test_taking_subtraction_for_a_hard_reset_is_another_network():
    """What `snntorch.export_nir` writes for its own default."""
    soft, _ = exported(dense(leaky(reset_mechanism="subtract")), X)
    torch.manual_seed(0)
    hard, _ = exported(dense(leaky(reset_mechanism="zero")), X)
    s, h = node_spikes(soft, X)["_1"], node_spikes(hard, X)["_1"]
    assert s.sum() > 1.05 * h.sum()
    with pytest.raises(UnfaithfulError, match="it is not the model"):
        verify(replace(soft, graph=hard.graph, taps=hard.taps), samples(nn.Sequential(), X))


BETAS = {
    "scalar": 0.8,
    "tensor": torch.tensor(0.8),
    "one": torch.tensor([0.8]),
    "per neuron": torch.linspace(0.1, 0.95, 8),
    "zero": 0.0,
    "integrator": 1.0,
    "above 1": 1.3,
    "below 0": -0.5,
    "nearly 1": 1 - 1e-6,
}


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("beta", BETAS.values(), ids=BETAS.keys())
def test_betas(beta, reset):
    beta = beta.clone() if isinstance(beta, torch.Tensor) else beta
    learned = reset != "subtract"
    conversion, _ = exported(dense(leaky(beta=beta, reset_mechanism=reset, learn_beta=learned)), X)
    assert node_spikes(conversion, X)["_1"].any()


def test_an_unclamped_beta_is_another_network():
    conversion, _ = exported(dense(leaky(beta=1.3, reset_mechanism="zero")), X)
    clamped = node_spikes(conversion, X)["_1"]
    net = dense(leaky(beta=1.3, reset_mechanism="zero"))
    v, rows = torch.zeros(3, 8), []
    for x in X:
        v = 1.3 * v + nn.functional.linear(x, net[0].weight, net[0].bias)
        rows.append((v > 1).float())
        v = v * (1 - rows[-1])
    assert (torch.stack(rows).detach().numpy() != clamped).any()


def test_beta_of_1_for_some_neurons_is_refused():
    with pytest.raises(UnfaithfulError, match="is 1 for some"):
        converted(dense(leaky(beta=torch.tensor([1.0, 0.5] * 4))), X)
    with pytest.raises(SpikeportError):
        converted(dense(leaky(beta=torch.full((5,), 0.5))), X)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 7, 5)])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_per_channel_parameters_spread_as_torch_means_them(shape, reset):
    neuron = leaky(beta=torch.rand(shape), threshold=torch.rand(shape) + 0.2, reset_mechanism=reset)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), neuron)
    conversion, _ = exported(net, IMAGES)
    node = conversion.graph.nodes["_1" if reset == "zero" else "_1_membrane"]
    assert node.tau.shape == (3, 7, 5)
    assert np.unique(node.tau).size > 1


@pytest.mark.parametrize("threshold", [0.0, 0.3, torch.linspace(0.0, 2.0, 8)], ids=["0", "0.3", "vector"])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_thresholds(threshold, reset):
    threshold = threshold.clone() if isinstance(threshold, torch.Tensor) else threshold
    conversion, _ = exported(dense(leaky(threshold=threshold, reset_mechanism=reset, learn_threshold=True)), X)
    assert node_spikes(conversion, X)["_1"].any()


def test_negative_threshold_is_refused():
    with pytest.raises(UnfaithfulError, match="fires at rest"):
        converted(dense(leaky(threshold=-0.1)), X)


@pytest.mark.parametrize("factor", [0.5, -2.0, torch.linspace(0.5, 3, 8)], ids=["half", "negative", "vector"])
@pytest.mark.parametrize(("reset", "delay"), [("zero", True), ("zero", False), ("subtract", True)])
def test_graded_spikes(factor, reset, delay):
    neuron = leaky(graded_spikes_factor=factor, reset_mechanism=reset, reset_delay=delay)
    conversion, _ = exported(nn.Sequential(*dense(neuron), nn.Linear(8, 5), leaky()), X)
    assert node_spikes(conversion, X)["_3"].any()


def test_a_factor_of_0_and_an_altered_reset_are_refused():
    with pytest.raises(UnfaithfulError, match="graded_spikes_factor is 0"):
        converted(dense(leaky(graded_spikes_factor=0.0)), X)
    neuron = leaky(reset_mechanism="zero")
    neuron.reset_mechanism = "subtract"
    with pytest.raises(UnfaithfulError, match="by halves"):
        converted(dense(neuron), X)
    with pytest.raises(UnfaithfulError, match="state_quant"):
        converted(dense(leaky(state_quant=lambda v: v.round())), X)
    with pytest.warns(UserWarning, match="Inhibition"):
        inhibited = leaky(inhibition=True)
    with pytest.raises(UnfaithfulError, match="inhibition"):
        converted(dense(inhibited), X)


def test_at_the_threshold_exactly():
    """Weights of 1/2 and beta 1/2 meet v == threshold all the time: the comparison must be strict."""
    for reset in ("zero", "subtract", "none"):
        net = nn.Sequential(nn.Linear(8, 8, bias=False), leaky(beta=0.5, reset_mechanism=reset))
        net[0].weight.data = torch.randint(-1, 2, (8, 8)).float() / 2
        conversion, agreement = exported(net, X)
        assert agreement.ties == 0
        lower = dict(conversion.graph.nodes)
        node = copy.copy(lower["_1"])
        field = "v_threshold" if reset == "zero" else "threshold"
        setattr(node, field, np.nextafter(getattr(node, field), 0))
        lower["_1"] = node
        wrong = node_spikes(conversion, X, chip=replace(conversion.graph, nodes=lower))["_1"]
        assert (wrong != node_spikes(conversion, X)["_1"]).any()  # `>=` would be another network


@pytest.mark.parametrize("bias", [-50.0, 50.0], ids=["silent", "saturated"])
def test_silent_and_saturated_layers(bias):
    for reset in ("zero", "subtract", "none"):
        net = dense(leaky(reset_mechanism=reset))
        net[0].bias.data.fill_(bias)
        conversion, _ = exported(net, X)
        assert node_spikes(conversion, X)["_1"].mean() == (bias > 0)
