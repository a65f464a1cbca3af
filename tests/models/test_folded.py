from __future__ import annotations

import copy

import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeport.models.av_digits import AvDigitsParams, build
from spikeport.models.folded import fold
from spikeport.models.network import SpikingNetwork, core_network


def _dyadic(net: nn.Module) -> None:
    """Weights in eighths: sums are exact in any order, so that folding must not change a single spike."""
    with torch.no_grad():
        for value in net.parameters():
            value.copy_((value * 8).round() / 8)


def _net(seed: int, **params: object) -> SpikingNetwork:
    torch.manual_seed(seed)
    settings_ = {"channels": (2, 3), "audio": (4, 3), "fused": 5, "beta_image": 0.5, "beta_audio": 0.75}
    net = build(AvDigitsParams.model_validate(settings_ | params), {"image": (1, 13, 13), "audio": (6,)}, 3)
    _dyadic(net.core)
    return net


def _inputs(seed: int, steps: int, batch: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(0, 2, (steps, batch, 1, 13, 13), generator=draw).float(),
        "audio": torch.randint(0, 2, (steps, batch, 6), generator=draw).float(),
    }


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), steps=st.integers(1, 9), batch=st.integers(1, 4))
def test_folded_spikes_are_the_stepwise_spikes(seed: int, steps: int, batch: int) -> None:
    net = _net(seed, beta_fused=0.5, gain=3.0)
    inputs = _inputs(seed, steps, batch)
    stepwise = net.tensors(inputs)["spikes"]
    assert torch.equal(fold(net.core, [inputs["image"], inputs["audio"]]), stepwise)


def test_the_property_above_sees_both_values_in_most_steps() -> None:
    spikes = _net(1, beta_fused=0.5, gain=3.0).tensors(_inputs(1, 9, 4))["spikes"]
    assert 0.05 < float(spikes.detach().mean()) < 0.95


def test_folded_gradients_are_those_of_snntorch() -> None:
    net = _net(5, gain=3.0)
    inputs = _inputs(5, 7, 5)
    grads = []
    for run in (net.forward, net.forward_folded):
        net.zero_grad()
        (run(inputs) ** 2).sum().backward()
        grads.append([value.grad.clone() for value in net.parameters() if value.grad is not None])
    assert len(grads[0]) == len(list(net.parameters()))
    assert all(float(grad.abs().max()) > 0 for grad in grads[0])
    for stepwise, folded in zip(*grads, strict=True):
        torch.testing.assert_close(folded, stepwise, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "neuron",
    [
        snntorch.Leaky(beta=0.5, init_hidden=True, reset_mechanism="subtract", reset_delay=False),
        snntorch.Leaky(beta=torch.tensor(0.5), learn_beta=True, init_hidden=True, reset_mechanism="zero"),
        snntorch.Leaky(beta=0.5, init_hidden=True, reset_mechanism="zero", graded_spikes_factor=2.0),
        snntorch.Synaptic(alpha=0.5, beta=0.5, init_hidden=True, reset_mechanism="zero"),
    ],
)
def test_other_neurons_run_step_by_step_as_themselves(neuron: nn.Module) -> None:
    core = nn.Sequential(nn.Linear(2, 3), neuron)
    _dyadic(core)
    x = torch.randint(-4, 8, (6, 2, 2), generator=torch.Generator().manual_seed(0)).float()
    stepwise = core_network(core, None, ("x",)).tensors({"x": x})["spikes"]
    assert 0 < float((stepwise > 0).float().mean()) < 1
    assert torch.equal(fold(core, [x]), stepwise)


def test_folding_adds_nothing_to_the_state_and_follows_new_weights() -> None:
    net = _net(5, gain=3.0)
    inputs = _inputs(5, 6, 2)
    names = list(net.state_dict())
    net.forward_folded(inputs)
    assert list(net.state_dict()) == names
    other = copy.deepcopy(net)
    with torch.no_grad():
        for value in other.parameters():
            value.mul_(-1)
    torch.testing.assert_close(other.forward_folded(inputs), other(inputs))
    torch.testing.assert_close(net.forward_folded(inputs), net(inputs))
    assert not torch.equal(net(inputs), other(inputs))


@pytest.mark.parametrize("stride", [2, (3, 1)])
def test_a_projection_that_skips_pixels_is_the_same_and_is_heard(stride: int | tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 1, stride, groups=2).double()
    x_TBN = torch.rand(3, 2, 4, 7, 8, dtype=torch.float64)
    expected = torch.stack([conv(x_BN) for x_BN in x_TBN])
    core = nn.Sequential(conv)
    torch.testing.assert_close(fold(core, [x_TBN]), expected)
    called: list[torch.Size] = []
    handle = conv.register_forward_hook(lambda _, given, output: called.append(output.shape))
    torch.testing.assert_close(fold(core, [x_TBN]), expected)
    handle.remove()
    fold(core, [x_TBN])
    assert called == [expected.flatten(0, 1).shape]
