"""DeltaLeaky, GradedSpikes and BatchNormTT."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch as snn
import torch
from export_nets import converted, exported, leaky, node_spikes, spikes_like
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from window_nets import First, loop

from spikeport.errors import UnfaithfulError
from spikeport.export.audit import audit
from spikeport.export.verify import record_model

X = spikes_like((8,))


def delta(beta=0.8, theta=0.3) -> nn.Module:
    return First(snn.DeltaLeaky(beta=beta, delta_threshold=theta, init_hidden=True))


class Net(nn.Module):
    """A forward given as a function over a stock of layers."""

    def __init__(self, forward, **layers: nn.Module):
        super().__init__()
        self.fc, self.l = nn.Linear(8, 8), leaky(reset_mechanism="zero")
        nn.init.normal_(self.fc.weight, std=0.7)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.wired = forward

    def forward(self, x):
        return self.wired(self, x)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.97, 1.0])
def test_delta_leaky_fires_where_its_membrane_moves(beta):
    x = spikes_like((8,)) * 0.7317 - 0.2093
    conversion, agreement = exported(delta(beta), x)
    assert agreement.exact
    membrane = loop(x, np.float32(beta).astype(float))
    moved = np.diff(membrane, axis=0, prepend=0)
    spikes = node_spikes(conversion, x)
    np.testing.assert_array_equal(spikes["neuron_rise"], moved > 0.3)
    np.testing.assert_array_equal(spikes["neuron_fall"], moved < -0.3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), theta=st.floats(0.05, 2), scale=st.floats(0.05, 20))
def test_any_delta_network(seed, theta, scale):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 6), delta(torch.rand(6), theta * scale), nn.Linear(6, 4), delta(0.6, theta))
    x = torch.randn(40, 2, 8) * scale
    conversion = converted(model, x)
    agreement = audit(conversion.graph, {"input": x.numpy()}, record_model(conversion, {"input": x}))
    assert agreement.mismatches == 0


def test_a_delta_neuron_that_has_run_is_exported_from_its_start():
    model = nn.Sequential(nn.Linear(8, 6), delta())
    with torch.no_grad():
        model(X[0])
    assert exported(model, X)[1].exact
    assert type(model[1].neuron) is snn.DeltaLeaky


def test_a_delta_neuron_without_fall_is_another_network():
    class Rising(snn.DeltaLeaky):
        def forward(self, input_, mem=None):
            before = torch.zeros_like(input_) if self.mem is None else self.mem.clone()
            _, (after, _) = super().forward(input_)
            return (after - before > self.delta_threshold).float(), (after, before)

    model = nn.Sequential(nn.Linear(8, 6), delta())
    conversion = converted(model, X)
    rising = nn.Sequential(model[0], First(Rising(beta=0.8, delta_threshold=0.3, init_hidden=True)))
    with torch.no_grad():
        other = torch.stack([rising(x) for x in X]).numpy()
    spikes = node_spikes(conversion, X)
    np.testing.assert_array_equal(spikes["_1_neuron_rise"], other)
    assert any(s.any() for name, s in spikes.items() if name.endswith("fall"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: delta(beta=1.2), "beta is 1.2, outside of 0 to 1"),
        (lambda: delta(beta=-0.2), "beta is -0.2"),
        (lambda: delta(theta=-0.1), "delta_threshold is -0.1"),
        (lambda: First(snn.DeltaLeaky(beta=0.5)), "states by hand"),
        (lambda: Net(lambda n, x: n.d(x)[1][0], d=delta().neuron), "no NIR node emits|indexes"),
    ],
)
def test_a_delta_neuron_without_faithful_form_is_refused(make, reason):
    with pytest.raises(UnfaithfulError, match=reason):
        converted(make(), X)


def test_graded_spikes_are_a_scale():
    model = Net(lambda n, x: n.l(n.fc(n.g(x))), g=snn.GradedSpikes(1, 0.6))
    assert exported(model, X)[1].exact
    rows = Net(lambda n, x: n.l(n.g(x)), g=snn.GradedSpikes(3, None))
    conversion, agreement = exported(rows, spikes_like((3, 8)))
    assert agreement.exact
    np.testing.assert_array_equal(conversion.graph.nodes["g"].scale[:, :1], rows.g.weights.detach().numpy())


def test_graded_spikes_that_scale_samples_are_refused():
    """On [B, features] torch broadcasts its [size, 1] over the batch."""
    model = Net(lambda n, x: n.l(n.g(x)), g=snn.GradedSpikes(8, 0.6))
    with pytest.raises(UnfaithfulError, match="samples of a batch"):
        converted(model, spikes_like((8,), batch=8))
    with pytest.raises(UnfaithfulError, match="broadcasting"):
        converted(Net(lambda n, x: n.l(n.g(x)), g=snn.GradedSpikes(3, 0.6)), spikes_like((1, 8)))


def test_batch_norm_through_time_of_one_step_is_a_batch_norm():
    model = Net(lambda n, x: n.l(n.bn[0](n.fc(x))), bn=snn.BatchNormTT1d(8, 1))
    model.bn[0].running_mean.normal_()
    assert exported(model, X)[1].exact


@pytest.mark.parametrize("forward", [lambda n, x: n.l(n.bn[3](n.fc(x))), lambda n, x: n.l(n.bn[int(x.sum())](n.fc(x)))])
def test_batch_norm_through_time_is_refused(forward):
    with pytest.raises(UnfaithfulError, match=r"BatchNormTT of 60 steps.*same at every step.*time_steps=1"):
        converted(Net(forward, bn=snn.BatchNormTT1d(8, 60)), X)


def test_a_list_of_batch_norms_that_are_layers_is_not_taken_for_one():
    norms = nn.ModuleList([nn.BatchNorm1d(8, affine=False) for _ in range(2)])
    assert exported(Net(lambda n, x: n.l(n.bn[1](n.fc(n.bn[0](x)))), bn=norms), X)[1].exact


def test_a_membrane_that_decays_to_nothing_agrees():
    """At 2^-149 float32 has 0 and the interpreter has not."""
    x = torch.zeros(80, 2, 8)
    x[0] = 1
    assert exported(nn.Sequential(leaky(beta=0.1, threshold=2.0, reset_mechanism="none")), x)[1].exact
