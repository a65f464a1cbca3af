"""What an export leaves alone in the user's model, in its precision and in its time step."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import snntorch as snn
import torch
from convert_nets import X, dense
from export_nets import converted, exported, leaky, samples, torch_outputs
from torch import nn

from spikeport.export.convert import convert
from spikeport.export.interpreter import run
from spikeport.export.verify import verify


def test_double_precision_is_held_to_double():
    net = dense(leaky()).double()
    _, agreement = exported(net, X.double())
    assert agreement.exact


def test_the_users_model_is_left_alone():
    net = nn.Sequential(*dense(leaky(learn_beta=True)), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4), leaky())
    net.train()
    net[0].bias.requires_grad_(False)
    net(X[0]).sum().backward(retain_graph=True)  # leaves gradients, hidden states and running statistics behind
    assert net[1].mem.grad_fn is not None
    before = copy.deepcopy({n: p.detach().clone() for n, p in net.state_dict().items()})
    mems = [net[i].mem for i in (1, 5)]
    values = [m.detach().clone() for m in mems]
    gradients = {n: p.grad for n, p in net.named_parameters()}
    needs = {n: p.requires_grad for n, p in net.named_parameters()}
    instances = list(snn.SpikingNeuron.instances)
    x = X.clone()
    conversion = converted(net, x)
    assert verify(conversion, samples(net, x)).exact
    assert torch.equal(x, X)
    assert all(module.training for module in net.modules())
    after = net.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[n], before[n]) for n in before)
    assert all(net[i].mem is m for i, m in zip((1, 5), mems, strict=True))
    assert all(torch.equal(m, v) for m, v in zip(mems, values, strict=True))
    assert mems[0].any()
    assert all(p.grad is gradients[n] for n, p in net.named_parameters())
    assert {n: p.requires_grad for n, p in net.named_parameters()} == needs
    assert len(snn.SpikingNeuron.instances) == len(instances)
    loss = net(X[1]).sum()
    loss.backward()  # the graph of the training step before is still whole


def test_a_model_in_the_middle_of_a_window_is_exported_from_the_start():
    net = dense(leaky()).eval()
    with torch.no_grad():
        for x in X[:10]:
            net(x)
    conversion = converted(net, X)
    assert verify(conversion, samples(net, X)).exact
    reference = run(conversion.graph, {"input": X.numpy()}).nodes["output"]
    np.testing.assert_array_equal(reference, torch_outputs(net, X)[0].numpy())


@pytest.mark.parametrize("dt_s", [1e-6, 1e-3, 1.0, 25.0])
def test_any_time_step_gives_the_same_spikes(dt_s):
    net = dense(leaky(reset_mechanism="zero"))
    conversion = convert(net, {"input": X[0]}, dt_s)
    assert verify(conversion, {"input": X}).exact
    assert conversion.graph.nodes["_1"].tau[0] == pytest.approx(10 * dt_s)
