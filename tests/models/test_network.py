from __future__ import annotations

import subprocess
import sys

import pytest
import snntorch
import torch
from torch import nn

from spikeport.errors import UsageError
from spikeport.models.network import Segment, SpikeRate, SpikingNetwork, core_network


def _one_neuron() -> SpikingNetwork:
    linear = nn.Linear(1, 1, bias=False)
    nn.init.ones_(linear.weight)
    leaky = snntorch.Leaky(beta=0.5, threshold=1.0, init_hidden=True, reset_mechanism="zero")
    return core_network(nn.Sequential(linear, leaky), None, ("x",))


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
    readout = SpikeRate(1, 2)
    net = core_network(_one_neuron().core, readout, ("x",))
    with torch.no_grad():
        readout.linear.weight.copy_(torch.tensor([[10.0], [-5.0]]))
        readout.linear.bias.copy_(torch.tensor([1.0, 0.0]))
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

    net = core_network(Sum(), None, ("a", "b"))
    with pytest.raises(UsageError, match="must agree"):
        net({"a": X, "b": X[:4]})


class Mean(nn.Module):
    """The mean over time at every step: no single step knows it."""

    def forward(self, x_TBN: torch.Tensor) -> torch.Tensor:
        return x_TBN.mean(0, keepdim=True).expand_as(x_TBN)


def _three_segments() -> list[Segment]:
    leaky = snntorch.Leaky(beta=0.5, threshold=0.5, init_hidden=True, reset_mechanism="zero")
    return [
        Segment("before", "step", _one_neuron().core, ("x",), ("s",)),
        Segment("mean", "sequence", Mean(), ("s",), ("rate",)),
        Segment("after", "step", nn.Sequential(nn.Identity(), leaky), ("rate",), ("answer",)),
    ]


@pytest.mark.parametrize("folded", [False, True])
def test_a_sequence_segment_sees_all_steps(folded: bool) -> None:
    net = SpikingNetwork(_three_segments(), ("x",))
    tensors = net.tensors({"x": X}, folded)
    torch.testing.assert_close(tensors["rate"].flatten(), torch.full((5,), 2 / 5))
    # v = 0.4 | 0.6 spike | 0.4 | 0.6 spike | 0.4
    assert tensors["answer"].flatten().tolist() == [0, 1, 0, 1, 0]
    assert net.answer == "answer"
    assert not net.reads_out


def test_segments_that_do_not_fit_are_refused() -> None:
    before, mean, after = _three_segments()
    with pytest.raises(ValueError, match="reads 's', which nothing before it writes"):
        SpikingNetwork([mean, before, after], ("x",))
    with pytest.raises(ValueError, match="stands twice"):
        SpikingNetwork([before, mean, mean], ("x",))


def test_importing_the_packages_imports_no_torch() -> None:
    code = "import sys, spikeport.models, spikeport.train, spikeport.train.datasets; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
