"""Window neurons: what each of them computes, exported step by step and audited against the whole window."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from export_nets import DT, node_spikes, samples, spikes_like, torch_outputs
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch._neurons.leakykernel import LeakyKernel
from torch import nn
from window_nets import First, Wired, audited, loop, nonnegative, window_recording

import spikeport
from spikeport.errors import UnfaithfulError
from spikeport.export.audit import audit
from spikeport.export.convert import window_neurons
from spikeport.export.convert.window import window_model
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run

X = spikes_like((8,))


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 1.0, -0.5])
@pytest.mark.parametrize("memory_steps", [None, 1, 7])
def test_state_leaky_decays_by_exp_of_minus_one_over_tau(beta, memory_steps):
    neuron = snn.StateLeaky(beta, 8, threshold=0.93, kernel_truncation_steps=memory_steps)
    membrane = loop(X, np.exp(-(1 - beta)), memory_steps)
    np.testing.assert_allclose(neuron(X)[1].numpy(), membrane, rtol=1e-5, atol=1e-5)
    conversion, agreement = audited(First(neuron), X)
    assert agreement.exact
    spikes = node_spikes(conversion, X)["neuron"]
    clear = np.abs(membrane - 0.93) > 1e-5
    np.testing.assert_array_equal(spikes[clear], (membrane > 0.93)[clear])


def test_linear_leaky_is_a_linear_in_front():
    neuron = snn.LinearLeaky(torch.linspace(0.1, 0.9, 4), 8, 4, threshold=torch.linspace(0.1, 0.5, 4))
    conversion, agreement = audited(First(neuron), X)
    assert agreement.exact
    assert set(conversion.graph.nodes) == {
        *("x", "output"),
        *("neuron_linear", "neuron_membrane", "neuron"),
    }
    drive = X.numpy().astype(float) @ neuron.linear.weight.detach().numpy().T + neuron.linear.bias.detach().numpy()
    membrane = loop(drive, np.exp(-(1 - np.linspace(0.1, 0.9, 4))))
    np.testing.assert_array_equal(
        node_spikes(conversion, X)["neuron"], membrane > np.linspace(0.1, 0.5, 4).astype(np.float32)
    )


@pytest.mark.parametrize("kind", [snn.LeakyParallel, LeakyKernel])
@pytest.mark.parametrize("bias", [True, False])
def test_leaky_parallel_of_weights_of_at_least_0_is_a_recurrence(kind, bias):
    neuron = nonnegative(kind(8, 5, beta=0.6, bias=bias, threshold=1.5))
    conversion, agreement = audited(nn.Sequential(neuron), X)
    assert agreement.exact
    drive = X.numpy() @ neuron.rnn.weight_ih_l0.detach().numpy().T
    if bias:
        drive = drive + (neuron.rnn.bias_ih_l0 + neuron.rnn.bias_hh_l0).detach().numpy()
    (spikes,) = node_spikes(conversion, X).values()
    np.testing.assert_array_equal(spikes, loop(drive, np.float32(0.6)) > 1.5)
    assert any("taken to be at least 0" in r.what for r in conversion.rewrites)


def test_leaky_parallel_behind_spikes_needs_no_word_on_the_input():
    second = nonnegative(snn.LeakyParallel(8, 5, beta=0.9, threshold=2.0))
    conversion, agreement = audited(nn.Sequential(First(snn.StateLeaky(0.5, 8)), nn.Dropout(0.5), second), X)
    assert agreement.exact
    assert not any("taken to be" in r.what for r in conversion.rewrites)


def test_graded_spikes_of_state_leaky_are_scaled_twice():
    neuron = First(snn.StateLeaky(0.5, 8, graded_spikes_factor=0.5))
    assert set(neuron(X).unique().tolist()) == {0.0, 0.25}
    assert audited(neuron, X)[1].exact


def test_a_membrane_alone_is_a_value_node():
    model = nn.Sequential(First(snn.StateLeaky(0.5, 8)), snn.StateLeaky(0.9, 8, output=False))
    _, agreement = audited(model, X)
    assert agreement.exact
    assert agreement.per_node["_1"].spiking is False


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    steps=st.integers(1, 120),
    batch=st.integers(1, 3),
    low=st.floats(-1.0, 0.99),
    memory_steps=st.none() | st.integers(1, 30),
    theta=st.floats(0.0, 2.0),
    scale=st.floats(0.01, 100.0),
)
def test_any_decay_threshold_and_memory(seed, steps, batch, low, memory_steps, theta, scale):
    torch.manual_seed(seed)
    beta = low + (1 - low) * torch.rand(6)
    own = {"threshold": theta * scale, "kernel_truncation_steps": memory_steps}
    model = Two(snn.LinearLeaky(beta, 8, 6, **own), snn.StateLeaky(float(beta[0]), 4, **own))
    model.fc.weight.data *= scale
    x = torch.randn(steps, batch, 8) * scale
    conversion, recording = window_recording(model, x)
    agreement = audit(conversion.graph, {"x": x.numpy()}, recording)
    assert agreement.mismatches == 0, agreement.first_divergence


class Two(nn.Module):
    """Two layers, as a user would write them."""

    def __init__(self, first=None, second=None):
        super().__init__()
        self.l1 = first or snn.LinearLeaky(0.8, 8, 6)
        self.fc = nn.Linear(6, 4)
        self.l2 = second or snn.StateLeaky(torch.linspace(0.2, 0.95, 4), 4, threshold=0.3)

    def forward(self, x):
        spk, _ = self.l1(x)
        spk, mem = self.l2(self.fc(spk))
        return spk, mem


def test_export_finds_window_neurons_by_itself(tmp_path):
    model = Two().train()
    before = {n: p.clone() for n, p in model.state_dict().items()}
    with torch.no_grad():
        spk, _ = model(X)
    bundle = spikeport.export(model, X, DT, tmp_path / "two.bundle")
    assert model.training
    assert all(torch.equal(p, before[n]) for n, p in model.state_dict().items())
    assert bundle.manifest.verification.status == "exact"
    assert any("exp(-1 / tau)" in rewrite.what for rewrite in bundle.manifest.rewrites)
    np.testing.assert_array_equal(bundle.golden().outputs["output_0"], spk.numpy())


WIRED = {
    "an elementwise chain": lambda n, x: n.l2(n.out(-n.l1(n.fc(x) * 0.5 + n.fc(x))[0] / 2))[0],
    "merged by flatten": lambda n, x: n.l2(n.out(n.fc(x.flatten(0, 1))).unflatten(0, (x.shape[0], x.shape[1])))[0],
    "merged by view": lambda n, x: n.l2(n.out(n.bn(x.view(-1, 8))).view(x.size(0), x.size(1), 4))[0],
    "a neuron called twice": lambda n, x: n.l2(n.out(n.l1(n.fc(n.l1(n.fc(x))[0]))[0]))[0],
    "the first result unused": lambda n, x: (n.l1(x), n.l2(n.out(n.l1(n.fc(x))[0]))[0])[1],
    "the membrane returned": lambda n, x: n.l2(n.out(x))[1],
}


@pytest.mark.parametrize("what", WIRED)
@pytest.mark.parametrize("batch", [1, 3])
def test_layers_between_act_on_every_step(what, batch):
    assert audited(Wired(WIRED[what]), X[:, :batch])[1].exact


def test_convolutions_go_through_merged_axes():
    def forward(n, x):
        y = n.pool(n.conv(x.flatten(0, 1))).flatten(1)
        return n.l1(y.reshape(x.shape[0], x.shape[1], -1))[0]

    model = Wired(forward)
    model.l1 = snn.StateLeaky(0.6, 27, threshold=0.2)
    assert audited(model, spikes_like((2, 9, 7), steps=20, batch=2))[1].exact


def _wrong(change):
    def state_leaky(name, layer, timesteps):
        found = window_neurons.state_leaky(name, layer, timesteps)
        return replace(found, recurrence=change(found.recurrence, layer))

    return state_leaky


NAIVE = {
    "beta as the decay": lambda r, layer: replace(r, decay=layer.beta.numpy().astype(float)),
    "a decay off by 1e-4": lambda r, layer: replace(r, decay=r.decay * (1 - 1e-4)),
    "the whole kernel": lambda r, layer: replace(r, memory_steps=None),
    "one factor": lambda r, layer: replace(r, factor=np.sqrt(r.factor)),
}


@pytest.mark.parametrize("what", NAIVE)
def test_a_naive_conversion_fails_the_audit(what, monkeypatch):
    model = First(snn.StateLeaky(0.9, 8, threshold=0.93, kernel_truncation_steps=6, graded_spikes_factor=0.5))
    assert audited(model, X)[1].exact
    monkeypatch.setitem(window_neurons.WINDOW_NEURONS, snn.StateLeaky, _wrong(NAIVE[what]))
    with pytest.raises(UnfaithfulError, match="it is not the model"):
        audited(model, X)


def test_a_reset_fails_the_audit():
    conversion, recording = window_recording(First(snn.StateLeaky(0.6, 8)), X)
    graph = conversion.graph
    assert audit(graph, {"x": X.numpy()}, recording).exact
    nodes = {**graph.nodes, "reset": nir.Scale(scale=np.full(8, -1.0))}
    edges = [*graph.edges, ("neuron", "reset"), ("reset", "neuron_membrane")]
    wrong = ChipGraph.from_nir(nir.NIRGraph(nodes, edges, type_check=False), DT, {("neuron", "reset")})
    assert audit(wrong, {"x": X.numpy()}, recording).mismatches


def test_the_rounding_of_a_long_convolution_is_bounded_and_small():
    x = torch.randn(600, 2, 8)
    conversion, recording = window_recording(First(snn.StateLeaky(0.99, 8)), x)
    assert recording.unit_roundoff < 2e-5
    error = np.abs(
        recording.nodes["neuron_membrane"] - run(conversion.graph, {"x": x.numpy()}).nodes["neuron_membrane"]
    )
    assert 0 < error.max() < 1e-4
    assert audit(conversion.graph, {"x": x.numpy()}, recording).mismatches == 0


def test_the_step_form_runs_as_a_network_of_its_own():
    model = Two()
    window = window_model(model, samples(model, X))
    assert window is not None
    with torch.no_grad():
        spk, mem = model(X)
    got = torch_outputs(window.step, X)
    np.testing.assert_array_equal(got[0], spk)
    np.testing.assert_allclose(got[1], mem, atol=1e-5)
