"""What a forward may do with its layers, against the model's own run."""

from __future__ import annotations

from dataclasses import replace

import nir
import pytest
import torch
import torch.nn.functional as F
from convert_nets import Net, Net2, X, shaken
from export_nets import converted, exact_or_refused, exported, leaky, node_spikes, spikes_like
from torch import nn

WIRED = {
    "residual": (lambda s, x: (lambda h: s.l2(s.b(h) + h))(s.l1(s.a(x))), {"l1", "l2"}),
    "skip of the input": (lambda s, x: s.l1(s.a(x) + x), {"l1"}),
    "a + a": (lambda s, x: (lambda h: s.l1(h + h))(s.a(x)), {"l1"}),
    "a + b + a": (lambda s, x: (lambda h, g: s.l1(h + g + h))(s.a(x), s.b(x)), {"l1"}),
    "constants": (lambda s, x: s.l2(s.b(2 * s.l1(s.a(x) * 1.5) * torch.linspace(-1, 1, 8))), {"l1", "l2"}),
    "plus 0": (lambda s, x: s.l1(0 + s.a(x) + 0.0), {"l1"}),
    "shared layer": (lambda s, x: s.l2(s.a(s.l1(s.a(x)))), {"l1", "l2"}),
    "three readers": (lambda s, x: (lambda h: s.l1(h) + s.l2(h) + s.l3(h + s.b(x)))(s.a(x)), {"l1", "l2", "l3"}),
    "dead branch": (lambda s, x: (s.l3(s.b(x)), s.l1(s.a(x)))[1], {"l1"}),
    "dead branch behind": (lambda s, x: (lambda h: (s.l2(s.b(h)), h)[1])(s.l1(s.a(x))), {"l1"}),
    "two outputs": (lambda s, x: (s.l1(s.a(x)), s.l2(s.b(x))), {"l1", "l2"}),
    "same output twice": (lambda s, x: (lambda h: (h, h))(s.l1(s.a(x))), {"l1"}),
    "a current as output": (lambda s, x: s.c(s.l1(s.a(x))), {"l1"}),
    "neuron on the input": (lambda s, x: s.l1(x), {"l1"}),
    "neuron on neuron": (lambda s, x: s.l2(s.l1(s.a(x))), {"l1", "l2"}),
    "keyword": (lambda s, x: s.l1(input_=s.a(input=x)), {"l1"}),
    "flatten": (lambda s, x: torch.flatten(s.l1(s.a(x)), 1), {"l1"}),
    "dropout": (lambda s, x: s.l1(F.dropout(s.drop(s.a(x)), 0.5, s.training)), {"l1"}),
    "norm folded": (lambda s, x: s.l1(s.bn(s.a(x))), {"l1"}),
    "norm of a shared source": (lambda s, x: (lambda h: s.l1(s.bn(h)) + s.l2(h))(s.a(x)), {"l1", "l2"}),
    "norm after its source's other reader": (lambda s, x: (lambda h: s.l2(h) + s.l1(s.bn(h)))(s.a(x)), {"l1", "l2"}),
    "norm behind a wire": (
        lambda s, x: (lambda h: s.l1(s.bn(F.dropout(h, training=False))) + s.l2(h))(s.a(x)),
        {"l1", "l2"},
    ),
    "norm behind plus 0": (lambda s, x: (lambda h: s.l1(s.bn(h + 0)) + s.l2(h))(s.a(x)), {"l1", "l2"}),
    "norm whose source is an output": (lambda s, x: (lambda h: (s.l1(s.bn(h)), h))(s.a(x)), {"l1"}),
    "norm after a sum": (lambda s, x: s.l1(s.bn(s.a(x) + s.b(x))), {"l1"}),
    "norm first": (lambda s, x: s.l1(s.a(s.bn(x))), {"l1"}),
    "norm twice": (lambda s, x: s.l1(s.bn(s.a(s.bn(s.b(x))))), {"l1"}),
    "norm read by two": (lambda s, x: (lambda h: s.l1(h) + s.l2(s.b(h)))(s.bn(s.a(x))), {"l1", "l2"}),
}


@pytest.mark.parametrize(("forward", "nodes"), WIRED.values(), ids=WIRED.keys())
def test_wirings(forward, nodes):
    net = Net(forward)
    shaken(net.bn)
    conversion, agreement = exported(net, X)
    assert agreement.exact
    spikes = node_spikes(conversion, X)
    assert set(spikes) == nodes
    assert all(0 < s.mean() < 1 for s in spikes.values())


def test_which_norms_are_folded():
    def folded(name: str) -> bool:
        net = Net(WIRED[name][0])
        shaken(net.bn)
        return "bn" not in converted(net.eval(), X).graph.nodes

    assert folded("norm folded")
    for name in WIRED:
        if name.startswith("norm ") and name not in ("norm folded", "norm twice", "norm read by two"):
            assert not folded(name), name


def test_folding_into_a_shared_source_would_be_another_network():
    net = Net(WIRED["norm behind a wire"][0])
    shaken(net.bn)
    conversion, _ = exported(net, X)
    right = node_spikes(conversion, X)
    naive = dict(conversion.graph.nodes)
    gain = (net.bn.weight / (net.bn.running_var + net.bn.eps).sqrt()).detach().double().numpy()
    naive["a"] = nir.Affine(naive["a"].weight * gain[:, None], naive["a"].bias * gain)
    wrong = node_spikes(conversion, X, chip=replace(conversion.graph, nodes=naive))
    assert (right["l2"] != wrong["l2"]).any()


def test_two_inputs_of_which_one_may_be_unused():
    exported(Net2(lambda s, x, y: s.l1(s.a(x) + s.b(y))), X, spikes_like((8,), seed=5))
    conversion, _ = exported(Net2(lambda s, x, y: s.l1(s.a(y))), X, spikes_like((8,), seed=5))
    assert set(conversion.graph.inputs) == {"x", "y"}


def test_names_never_collide():
    net = nn.Sequential()
    for name, layer in (("input", nn.Linear(8, 8)), ("output_membrane", nn.Linear(8, 8)), ("output", leaky())):
        net.add_module(name, layer)
    exported(net, X)


UNSETTLED = {
    "relu": lambda s, x: s.l1(F.relu(s.a(x))),
    "view": lambda s, x: s.l1(s.a(x.view(-1, 8))),
    "reshape": lambda s, x: s.l1(s.a(x).reshape(x.shape[0], 8)),
    "cat": lambda s, x: s.l1(torch.cat([s.l2(x), s.a(x)], 1)),
    "sub": lambda s, x: s.l1(s.a(x) - s.b(x)),
    "neg": lambda s, x: s.l1(-s.a(x)),
    "div": lambda s, x: s.l1(s.a(x) / 2),
    "getitem": lambda s, x: s.l1(s.a(x)[:, 1:] + s.b(x)[:, :-1]),
    "sum": lambda s, x: s.l1(s.a(x).sum(1, keepdim=True)),
    "clamp": lambda s, x: s.l1(s.a(x).clamp(0, 1)),
    "matmul": lambda s, x: s.l1(s.a(x) @ torch.ones(8, 8)),
    "linear": lambda s, x: s.l1(F.linear(x, s.a.weight)),
    "softmax": lambda s, x: s.l1(torch.softmax(s.a(x), 1)),
}


@pytest.mark.parametrize(("name", "forward"), UNSETTLED.items(), ids=UNSETTLED.keys())
def test_other_calls_are_exact_or_refused_by_name(name, forward):
    exact_or_refused(Net(forward), X, name)
