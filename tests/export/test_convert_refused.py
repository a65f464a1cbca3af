"""Forwards, weights and samples that are refused, each by name."""

from __future__ import annotations

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from convert_nets import Net, X, dense
from export_nets import DT, converted, exported, held, leaky, spikes_like
from torch import nn
from torch.nn.utils import parametrizations, prune

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.convert import convert


def own_state(s, x):
    s.previous = s.l1(s.a(x) + 0.5 * s.previous)
    return s.previous


def own_tensor_state(s, x):
    s.previous = s.l1(s.a(x) + (torch.zeros(8) if isinstance(s.previous, float) else s.previous))
    return s.previous


def resets_itself(s, x):
    s.l1.reset_mem()
    return s.l1(s.a(x))


def shared_neuron(s, x):
    return s.l1(s.b(s.l1(s.a(x))))


def loop_of_known_length(s, x):
    for _ in range(5):
        out = s.l1(s.a(x))
    return out


REFUSED = {
    "state of its own": (own_state, "state of its own"),
    "tensor state of its own": (own_tensor_state, "state of its own"),
    "resets itself": (resets_itself, "neuron 'l1': forward resets it"),
    "random factor": (lambda s, x: s.l1(s.a(x) * torch.rand(8)), "call to 'rand'"),
    "shared neuron": (shared_neuron, "2 times"),
    "loop of known length": (loop_of_known_length, "loop over time"),
    "loop over x": (lambda s, x: [s.l1(s.a(x[t])) for t in range(3)][-1], "one time step"),
    "loop over its size": (lambda s, x: [s.l1(s.a(x)) for _ in range(x.size(0))][-1], "one time step"),
    "control flow": (lambda s, x: s.l1(s.a(x)) if x.sum() > 0 else s.l1(s.b(x)), "one time step"),
    "a constant with a batch": (lambda s, x: s.l1(s.a(x) + torch.ones(3, 8)), "batch"),
    "an endless constant": (lambda s, x: s.l1(s.a(x) + float("inf")), "finite"),
    "a part of the batch": (lambda s, x: s.l1(s.a(x)[1:]), "'getitem': it takes a part of the batch"),
    "chunks of the batch": (lambda s, x: s.l1(s.a(x).chunk(3)[0]), "'chunk': it takes a part of the batch"),
    "cat along the batch": (lambda s, x: s.l1(torch.cat([s.a(x), s.b(x)])), "'cat': it joins along the batch"),
    "a new axis": (lambda s, x: s.l1(s.a(x)[:, None]), "'getitem': it adds an axis"),
    "a stack that stays one": (lambda s, x: s.l1(torch.stack([s.a(x), s.b(x)], 1)), "whose new axis"),
    "lists together": (lambda s, x: s.l1(s.a(x)[[0, 1], [1, 2]]), "'getitem': it takes a part of the batch"),
    "no element": (lambda s, x: s.l1(s.a(x)[:, 8:]), "'getitem': it takes an empty slice"),
    "padding by reflection": (lambda s, x: s.l1(F.pad(s.a(x), (1, 1), "reflect")), "'pad': padding with mode"),
    "constant input": (lambda s, x: s.l1(s.a(x) + s.b(torch.ones(1, 8))), "constant"),
    "product": (lambda s, x: s.l1(s.a(x) * s.b(x)), "two signals"),
    "a factor with a batch": (lambda s, x: s.l1(s.a(x) * torch.ones(3, 8)), "batch"),
    "F.dropout left on": (lambda s, x: s.l1(F.dropout(s.a(x))), "call to 'dropout'.*in evaluation too"),
    "no neuron": (lambda s, x: s.a(x), "no spiking neuron"),
    "a dict": (lambda s, x: {"y": s.l1(s.a(x))}, "tensor"),
    "no output": (lambda s, x: (s.l1(s.a(x)), None)[1], "tensor"),
}


@pytest.mark.parametrize(("forward", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_forwards_that_are_refused(forward, match):
    net = Net(forward).eval()
    with pytest.raises(UnfaithfulError, match=match):
        held(net, X)


class ByHand(nn.Module):
    """snnTorch's documented style."""

    def __init__(self, window: bool):
        super().__init__()
        self.fc, self.lif, self.window = nn.Linear(8, 4), snn.Leaky(beta=0.9), window

    def forward(self, x):
        mem = self.lif.reset_mem()
        for _ in range(3 if self.window else 1):
            spk, mem = self.lif(self.fc(x), mem)
        return spk


@pytest.mark.parametrize(("window", "advice"), [(True, "move the loop over time out"), (False, "init_hidden=True")])
def test_state_passed_by_hand_is_refused_with_advice(window, advice):
    with pytest.raises(UnfaithfulError, match=advice):
        converted(ByHand(window), X)


def test_what_torch_does_to_layers_from_outside():
    pruned = dense(leaky())
    prune.random_unstructured(pruned[0], "weight", 0.5)
    conversion, _ = exported(pruned, X)
    assert (conversion.graph.nodes["_0"].weight == 0).sum() == 32
    exported(nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), leaky()), X)
    hooked = dense(leaky())
    hooked[0].register_forward_hook(lambda module, args, out: out * 2)
    with pytest.raises(UnfaithfulError, match=r"layer .0. .Linear.: its forward hook changes what it gives"):
        held(hooked, X)
    doubled = type("MyLinear", (nn.Linear,), {"forward": lambda self, x: 2 * F.linear(x, self.weight)})
    exported(nn.Sequential(doubled(8, 8), leaky()), X)
    with pytest.raises(UnfaithfulError, match="MyLeaky"):
        converted(dense(type("MyLeaky", (snn.Leaky,), {})(beta=0.5, init_hidden=True)), X)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype):
    with pytest.raises(UnfaithfulError, match=r"model\.float"):
        converted(dense(leaky()).to(dtype), X.to(dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value):
    net = dense(leaky())
    net[0].weight.data[3, 2] = value
    with pytest.raises(UnfaithfulError, match=r"0\.weight"):
        converted(net, X)
    for field in ("beta", "threshold"):
        with pytest.raises(UnfaithfulError, match=field):
            converted(dense(leaky(**{"beta": 0.5, field: value})), X)


def test_samples_of_the_wrong_shape_are_named():
    with pytest.raises(UsageError, match=r"\(3, 7\)"):
        converted(dense(leaky()), spikes_like((7,)))
    with pytest.raises(UsageError, match="Give one tensor for each"):
        convert(dense(leaky()), {"image": X[0]}, DT)
