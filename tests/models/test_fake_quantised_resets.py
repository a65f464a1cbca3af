"""Training on Loihi's grid with snnTorch's default reset: against a plain loop, and against what is deployed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

import spikeport
from spikeport.deploy import backends
from spikeport.deploy.loihi.quantise import quantise
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.pipeline import lower_network, run_network, scores
from spikeport.deploy.quantised import with_weight_bits
from spikeport.models.fake_quantised import FakeQuantised
from spikeport.models.network import SpikeRate, SpikingNetwork, core_network
from spikeport.weight_grid import levels

T, B, N, H, K = 20, 4, 12, 9, 5
BETA, ALPHA, THETA = 0.917, 0.633, 0.7
KINDS = ["Leaky", "Synaptic", "RLeaky", "none"]


def neuron(kind: str, width: int) -> nn.Module:
    given: dict[str, Any] = {"threshold": THETA, "init_hidden": True}
    made: nn.Module = {
        "Leaky": lambda: snntorch.Leaky(BETA, **given),
        "Synaptic": lambda: snntorch.Synaptic(ALPHA, BETA, **given),
        "RLeaky": lambda: snntorch.RLeaky(BETA, linear_features=width, **given),
        "none": lambda: snntorch.Leaky(BETA, reset_mechanism="none", **given),
    }[kind]()
    return made


def network(kind: str) -> SpikingNetwork:
    torch.manual_seed(3)
    core = nn.Sequential(nn.Linear(N, H), neuron(kind, H), nn.Linear(H, K), neuron(kind, K))
    with torch.no_grad():
        for layer in (core[0], core[2]):
            layer.weight.mul_(1.5)
    return core_network(core, SpikeRate(K, 3), ("x",))


def samples() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {"x": (torch.rand((T, B, N), generator=draw) < 0.4).float()}


def on_grid(decay: float) -> float:
    """The nearest decay that 12 bits hold."""
    return 1 - round((1 - decay) * 4096) / 4096


def plain(x_BN: np.ndarray, values: dict[str, np.ndarray], kind: str) -> np.ndarray:
    """Return spikes [T, B, K] step by step: the default reset takes the threshold off one step late."""
    spikes = x_BN
    for at in (0, 2):
        weight, bias = values[f"core.{at}.weight"], values[f"core.{at}.bias"]
        shape = (B, len(bias))
        i, v, s = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        rows = []
        for row in spikes:
            current = row @ weight.T + bias
            if kind == "RLeaky":
                current += s @ values[f"core.{at + 1}.recurrent.weight"].T + values[f"core.{at + 1}.recurrent.bias"]
            if kind == "Synaptic":
                i = on_grid(ALPHA) * i + current
                current = i
            v = on_grid(BETA) * v + current - (0 if kind == "none" else THETA * s)
            s = (v > THETA).astype(float)
            rows.append(s)
        spikes = np.stack(rows)
    return spikes


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_the_forward_pass_is_a_plain_loop_over_quantised_numbers(kind: str, bits: int) -> None:
    net = network(kind)
    fake = FakeQuantised(net, bits)
    values = {name: value.detach().numpy() for name, value in fake.parameters().items()}
    x = samples()
    spikes = plain(x["x"].numpy(), values, kind)
    assert 0.05 < spikes.mean() < 0.95
    readout = net.readout.linear
    logits = torch.from_numpy(spikes.mean(0)).float() @ readout.weight.T + readout.bias
    for folded in (False, True):
        torch.testing.assert_close(fake(x, folded=folded), logits, rtol=1e-5, atol=1e-6)
    for path in ("0", "2"):
        k = values[f"core.{path}.weight"] / fake.units[path]
        np.testing.assert_allclose(k, np.rint(k), atol=1e-6)
        assert levels(bits)[0] <= k.min() <= k.max() <= levels(bits)[1]
    untouched = {name: value.detach().numpy() for name, value in network(kind).named_parameters()}
    assert not np.array_equal(plain(x["x"].numpy(), untouched, kind), spikes) or bits == 8


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_weight_as_if_nothing_were_rounded(kind: str) -> None:
    net = network(kind)
    fake = FakeQuantised(net, 4)
    values = fake.parameters()
    sum((3 * value).sum() for value in values.values()).backward()  # type: ignore[union-attr]
    assert len(values) == (8 if kind == "RLeaky" else 4)
    for name in values:
        assert torch.all(net.get_parameter(name).grad == 3)
    net.zero_grad()
    fake(samples(), folded=True).square().sum().backward()
    for name in values:
        grad = net.get_parameter(name).grad
        assert grad is not None
        assert torch.isfinite(grad).all()
        assert float(grad.abs().max()) > 0


@pytest.mark.parametrize("decay", [0.9, 0.99999, 0.5])
def test_decays_are_multiples_of_a_4096th_and_never_vanish(decay: float) -> None:
    made = snntorch.Synaptic(decay, decay, init_hidden=True)
    FakeQuantised(core_network(nn.Sequential(nn.Linear(N, K), made), SpikeRate(K, 3), ("x",)), 8)
    for held in (made.alpha, made.beta):
        steps = (1 - float(held)) * 4096
        assert steps == round(steps) >= 1
        assert abs(float(held) - decay) <= 1 / 4096


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_trained_is_what_is_deployed(kind: str, bits: int, tmp_path) -> None:
    net = network(kind)
    fake = FakeQuantised(net, bits)
    fake(samples(), folded=True).square().sum().backward()
    torch.optim.SGD(net.parameters(), 0.05).step()
    answer = fake(samples())
    net.load_state_dict(fake.state_dict())
    torch.testing.assert_close(net(samples()), answer, rtol=0, atol=0)
    bundle = spikeport.export(net, samples(), 1e-3, tmp_path / "n.bundle")
    (chip,) = bundle.network.chips
    quantised = quantise(chip.graph, {n: samples()[t].numpy() for n, t in chip.inputs.items()}, bits)
    for layer in quantised.layers:
        report = quantised.reports[layer.layer.name]
        assert max(report.weight_error, report.decay_error, report.bias_error) < 1e-6
        if kind != "none":
            assert layer.reset_by_N == pytest.approx(layer.scale_N * THETA / on_grid(BETA), abs=0.5)
    given = {"x": samples()["x"].numpy()}
    backend = with_weight_bits(backends.get("loihi"), WeightBits(bits))
    run = run_network(bundle.network, lower_network(bundle.network, backend, given), given)
    found = scores(run, bundle.network)
    # Membranes are truncated to whole numbers: a spike may move, few do.
    assert np.abs(found - answer.detach().numpy()).max() < 0.05
