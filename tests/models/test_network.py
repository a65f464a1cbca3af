from __future__ import annotations

import subprocess
import sys

import pytest
import snntorch
import torch
from torch import nn

from spikeport.errors import UsageError
from spikeport.models.network import SpikeRate, SpikingNetwork


def _one_neuron() -> SpikingNetwork:
    linear = nn.Linear(1, 1, bias=False)
    nn.init.ones_(linear.weight)
    leaky = snntorch.Leaky(beta=0.5, threshold=1.0, init_hidden=True, reset_mechanism="zero")
    return SpikingNetwork(nn.Sequential(linear, leaky), None, ("x",))


# v = 0.8 | 0.4 + 0.8 = 1.2 spike | 0 + 0.8 | 0.4 + 0.6 = 1.0, not above 1 | 0.5 + 0.6 = 1.1 spike
X = torch.tensor([0.8, 0.8, 0.8, 0.6, 0.6]).reshape(5, 1, 1)
SPIKES = [0, 1, 0, 0, 1]


def test_spikes_of_one_neuron_by_hand() -> None:
    assert _one_neuron()({"x": X}).flatten().tolist() == SPIKES


def test_every_window_starts_from_state_zero() -> None:
    net = _one_neuron()
    net({"x": X[:1]})
    assert net({"x": X}).flatten().tolist() == SPIKES


def test_readout_is_a_linear_on_spikes_per_step() -> None:
    net = _one_neuron()
    net.readout = SpikeRate(1, 2)
    with torch.no_grad():
        net.readout.linear.weight.copy_(torch.tensor([[10.0], [-5.0]]))
        net.readout.linear.bias.copy_(torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(net({"x": X}), torch.tensor([[5.0, -2.0]]))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "Give exactly: x"),
        ({"x": X, "y": X}, "Give exactly: x"),
        ({"x": X[:0]}, "there is no step to run"),
    ],
)
def test_wrong_inputs_are_refused(inputs: dict[str, torch.Tensor], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _one_neuron()(inputs)


def test_inputs_that_disagree_in_steps_are_refused() -> None:
    class Sum(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a + b

    net = SpikingNetwork(Sum(), None, ("a", "b"))
    with pytest.raises(UsageError, match="must agree"):
        net({"a": X, "b": X[:4]})


def test_importing_the_packages_imports_no_torch() -> None:
    code = "import sys, spikeport.models, spikeport.train, spikeport.train.datasets; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
