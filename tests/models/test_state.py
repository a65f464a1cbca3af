from __future__ import annotations

import pytest
import snntorch
import torch
from torch import nn

from spikeport.models.state import neurons, reset_state


def _leaky() -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.5, threshold=10.0, init_hidden=True, reset_mechanism="zero")


def test_neurons_are_found_at_any_depth_and_a_shared_one_once() -> None:
    shared = _leaky()
    net = nn.Sequential(shared, nn.Sequential(nn.Identity(), nn.Sequential(_leaky())), shared)
    assert list(neurons(net)) == ["0", "1.1.0"]


def test_reset_reaches_nested_neurons_and_leaves_other_networks_alone() -> None:
    mine, other = nn.Sequential(nn.Sequential(_leaky())), _leaky()
    mine(torch.ones(1, 2))
    other(torch.ones(1, 2))
    reset_state(mine)
    assert mine[0][0].mem.tolist() == [[0.0, 0.0]]
    assert other.mem.tolist() == [[1.0, 1.0]]


def test_a_neuron_that_cannot_be_reset_is_refused() -> None:
    class Odd(snntorch.SpikingNeuron):
        pass

    with pytest.raises(TypeError, match="0: Odd cannot be reset"):
        reset_state(nn.Sequential(Odd()))
