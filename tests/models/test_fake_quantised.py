"""Training on Loihi's grid: what was trained is what is deployed, and gradients pass."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

import spikeport
from spikeport.deploy.loihi.quantise import QuantisedStage, quantise
from spikeport.errors import UsageError
from spikeport.models.av_digits import AvDigitsParams, build
from spikeport.models.fake_quantised import FakeQuantised
from spikeport.models.network import SpikeRate, SpikingNetwork, core_network
from spikeport.weight_grid import levels, stored_step

SHAPES = {"image": (1, 13, 13), "audio": (6,)}
T, B = 6, 5


def network(seed: int = 0, **changes: object) -> SpikingNetwork:
    torch.manual_seed(seed)
    params = AvDigitsParams(channels=(2, 3), audio=(7,), fused=9, **changes)  # type: ignore[arg-type]
    return build(params, SHAPES, 4)


def samples() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {n: (torch.rand((T, B, *shape), generator=draw) < 0.4).float() for n, shape in SHAPES.items()}


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_what_was_trained_is_what_is_deployed(bits: int, tmp_path) -> None:
    net = network(beta_image=0.9, beta_audio=0.812345)
    fake = FakeQuantised(net, bits)
    fake(samples(), folded=True).sum().backward()
    torch.optim.SGD(net.parameters(), 0.05).step()
    answer = fake(samples())
    net.load_state_dict(fake.state_dict())
    torch.testing.assert_close(net(samples()), answer, rtol=0, atol=0)
    bundle = spikeport.export(net, samples(), 1e-3, tmp_path / "n.bundle")
    (chip,) = bundle.network.chips
    quantised = quantise(chip.graph, {n: samples()[t].numpy() for n, t in chip.inputs.items()}, bits)
    reports = quantised.reports
    assert len(reports) == 4
    assert max(report.weight_error for report in reports.values()) < 1e-6
    assert max(report.decay_error for report in reports.values()) < 1e-6
    assert max(report.bias_error for report in reports.values()) < 1e-6
    assert exactly(quantised)


def exactly(quantised: QuantisedStage) -> bool:
    """Whether every integer is what its float value says, without rounding."""
    layers = {layer.layer.name: layer for layer in quantised.layers}
    for hop in quantised.hops:
        layer = layers[hop.hop.target]
        wanted = layer.scale_N[:, None] * hop.hop.weight.toarray() / 64 / 2.0**hop.weight_exp
        if not np.allclose(wanted, hop.weight.toarray(), rtol=1e-5, atol=1e-4):
            return False
    return True


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_weights_are_levels_and_the_threshold_is_whole(bits: int) -> None:
    fake = FakeQuantised(network(), bits)
    values = fake.parameters()
    low, high = levels(bits)
    for group in fake.groups:
        steps = stored_step(bits) * group.threshold / min(fake.units[path] for path in group.layers)
        assert steps == pytest.approx(round(steps), rel=1e-9)
        for path in group.layers:
            k = values[f"core.{path}.weight"].detach().double() / fake.units[path]
            torch.testing.assert_close(k, k.round(), rtol=0, atol=1e-4)
            assert low <= k.min().round() <= k.max().round() <= high
            ratio = np.log2(fake.units[path] / fake.units[group.layers[0]])
            assert ratio == pytest.approx(round(ratio), abs=1e-9)


def test_layers_have_their_own_bits() -> None:
    fake = FakeQuantised(network(), 8, {"fuse": 2})
    assert {group.neuron: group.bits for group in fake.groups}["fuse"] == 2
    values = fake.parameters()["core.fuse_image.weight"]
    assert len(torch.unique(values)) <= 4
    with pytest.raises(UsageError, match="'fus'") as caught:
        FakeQuantised(network(), 8, {"fus": 2})
    assert "fuse" in caught.value.fix


def test_gradients_reach_the_weights_as_if_nothing_were_rounded() -> None:
    net = network()
    fake = FakeQuantised(net, 2)
    values = fake.parameters()
    sum((3 * value).sum() for value in values.values()).backward()  # type: ignore[union-attr]
    layers = [path for group in fake.groups for path in group.layers]
    assert len(layers) == 5
    for path in layers:
        for parameter in (net.core.get_submodule(path).weight, net.core.get_submodule(path).bias):
            assert torch.all(parameter.grad == 3)


def test_both_runs_agree_and_the_network_keeps_its_own_weights() -> None:
    net = network()
    before = {name: value.clone() for name, value in net.named_parameters()}
    fake = FakeQuantised(net, 3)
    torch.testing.assert_close(fake(samples()), fake(samples(), folded=True))
    assert not torch.equal(fake(samples()), net(samples()))
    for name, value in net.named_parameters():
        assert torch.equal(value, before[name])


class Pooled(nn.Module):
    def __init__(self, neuron: nn.Module, after: bool) -> None:
        super().__init__()
        self.conv, self.pool, self.neuron, self.after = nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), neuron, after

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.conv(x)) if self.after else self.conv(self.pool(x))
        spikes: Tensor = self.neuron(y)
        return spikes


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.neuron = nn.Linear(2, 2), nn.Linear(2, 2), snntorch.Synaptic(0.9, 0.8, init_hidden=True)

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.neuron(self.a(x) + self.b(x))
        return spikes


def leaky(**changes: object) -> nn.Module:
    made: nn.Module = snntorch.Leaky(**{"beta": 0.5, "init_hidden": True, "reset_mechanism": "zero", **changes})
    return made


@pytest.mark.parametrize(
    ("core", "said"),
    [
        (Pooled(leaky(), after=True), "only sums of Linear and Conv"),
        (Pooled(leaky(), after=False), "on no grid"),
        (Pooled(leaky(learn_beta=True), after=False), "fixed beta"),
        (Pooled(leaky(threshold=torch.ones(2, 1, 1)), after=False), "one for all"),
        (Pooled(leaky(reset_mechanism="subtract", reset_delay=False), after=False), "reset_delay=False"),
        (Pooled(leaky(reset_mechanism="subtract", beta=0.0), after=False), "beta=0"),
        (Pooled(leaky(graded_spikes_factor=2.0), after=False), "graded"),
        (Pooled(leaky(state_quant=torch.round), after=False), "state_quant"),
        (Pooled(snntorch.Alpha(0.9, 0.8, init_hidden=True), after=False), "it is Alpha"),
        (Pooled(snntorch.Synaptic(0.9, 0.8, init_hidden=True, reset_mechanism="zero"), after=False), "drops the step"),
        (
            nn.Sequential(nn.Linear(2, 2), snntorch.RLeaky(0.8, V=0.5, all_to_all=False, init_hidden=True)),
            "hears itself",
        ),
        (Twice(), "as one synapse"),
    ],
)
def test_what_has_no_grid_is_refused(core: nn.Module, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        FakeQuantised(core_network(core, SpikeRate(2, 2), ("x",)), 4)
    assert "neuron" in caught.value.subject
    assert caught.value.fix


def test_weights_that_dwarf_the_threshold_are_refused() -> None:
    with pytest.raises(UsageError, match="of its threshold"):
        FakeQuantised(network(threshold=1e-4), 2)
