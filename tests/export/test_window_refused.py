"""What has no form of one step, or joins time steps, is refused by name, with the nearest faithful choice."""

from __future__ import annotations

import pytest
import snntorch as snn
import torch
from export_nets import spikes_like
from snntorch._neurons import leakyunroll
from torch import nn
from window_nets import First, Wired, nonnegative, window_recording

from spikeport.errors import UnfaithfulError

X = spikes_like((8,))


REFUSED = {
    "sum": (lambda n, x: n.l2(n.out(x))[0].sum(0), "joins time steps"),
    "cumsum": (lambda n, x: n.l2(torch.cumsum(n.out(x), 0))[0], "joins time steps"),
    "getitem": (lambda n, x: n.l2(n.out(x))[0][-1], "joins time steps"),
    "bn": (lambda n, x: n.l1(n.bn(torch.flatten(x, 2)))[0], "join time steps"),
    "step": (lambda n, x: n.l2(n.out(n.step(x)))[0], "one step at a time"),
    "output 0": (lambda n, x: n.l2(n.out(x))[0].flatten(0, 1), r"not one value for every step"),
    "flatten": (lambda n, x: n.l2(n.out(x).flatten(1).unflatten(1, (-1, 4)))[0], "neither T, B nor"),
    "truediv": (lambda n, x: n.l2(n.out(x) / x.shape[0])[0], "number of steps"),
    "mul": (lambda n, x: n.l2(n.out(x) * n.out(x))[0], "multiplies two signals"),
    "transpose": (lambda n, x: n.l1(n.fc(x.transpose(0, 1)))[0], "joins time steps"),
    "par": (lambda n, x: n.par(x.flatten(0, 1)).unflatten(0, x.shape[:2]), "merged"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_joins_time_steps_is_refused(what):
    forward, reason = REFUSED[what]
    with pytest.raises(UnfaithfulError, match=reason) as refused:
        window_recording(Wired(forward), spikes_like((8,), batch=8))
    assert what in refused.value.subject
    assert refused.value.fix


def test_a_loop_over_time_is_refused():
    with pytest.raises(UnfaithfulError, match="cannot be traced"):
        window_recording(Wired(lambda n, x: torch.stack([n.l1(n.fc(s[None]))[0][0] for s in x])), X)


def parallel(**changes):
    neuron = nonnegative(snn.LeakyParallel(8, 5, beta=0.6))
    for name, value in changes.items():
        getattr(neuron.rnn, f"{name}_l0").data.view(-1)[0] = value
    return nn.Sequential(neuron)


def growing():
    neuron = snn.StateLeaky(0.5, 8)
    neuron.tau.fill_(-2.0)
    return First(neuron)


NEURONS = {
    "negative weight": (lambda: parallel(weight_ih=-0.25), "weight_ih_l0 has -0.25.*clips"),
    "negative bias": (lambda: parallel(bias_hh=-0.5), "bias_hh_l0 has -0.5"),
    "growing decay": (lambda: parallel(weight_hh=1.25), "1.25, outside of 0 to 1"),
    "negative decay": (lambda: parallel(weight_hh=-0.1), "-0.1, outside of 0 to 1"),
    "dense": (lambda: nn.Sequential(nonnegative(snn.LeakyParallel(8, 5, beta=0.1, weight_hh_enable=True))), "dense"),
    "behind a layer": (
        lambda: nn.Sequential(nn.Linear(8, 8), nonnegative(snn.LeakyParallel(8, 5, beta=0.1))),
        "input '_0_0' may be below 0",
    ),
    "tau below 0": (growing, "tau is -2.0"),
    "state_quant": (lambda: First(snn.StateLeaky(0.5, 8, state_quant=torch.round)), "state_quant"),
    "threshold": (lambda: First(snn.StateLeaky(0.5, 8, threshold=-1.0)), "threshold is -1.0"),
    "associative": (lambda: snn.AssociativeLeaky(8, 2, 2, 4), "products of signals"),
    "unrolled": (lambda: leakyunroll.LeakyParallel(8, beta=0.5), "its forward always fails"),
}


@pytest.mark.parametrize("what", NEURONS)
def test_what_has_no_faithful_form_is_refused(what):
    make, reason = NEURONS[what]
    with pytest.raises(UnfaithfulError, match=reason) as refused:
        window_recording(nn.Sequential(make()), X)
    assert "neuron '" in refused.value.subject
    assert refused.value.fix


def test_a_negative_input_of_leaky_parallel_is_refused():
    with pytest.raises(UnfaithfulError, match=r"has -1, so that it can"):
        window_recording(parallel(), -X)


def test_weights_of_both_signs_name_the_nearest_neuron():
    with pytest.raises(UnfaithfulError) as refused:
        window_recording(nn.Sequential(snn.LeakyParallel(8, 5, beta=0.1)), X)
    assert "snntorch.LinearLeaky" in refused.value.fix


def test_leaky_parallel_ignores_a_beta_of_several_values():
    """snnTorch leaves its decays at random there: what is exported, or refused, is what it computes."""
    torch.manual_seed(0)
    neuron = snn.LeakyParallel(8, 5, beta=torch.full((5,), 0.5))
    assert not torch.allclose(neuron.rnn.weight_hh_l0.diagonal(), torch.tensor(0.5))
    with pytest.raises(UnfaithfulError, match="outside of 0 to 1"):
        window_recording(nn.Sequential(nonnegative(neuron)), X)
