"""What forward changes in place: later readers get the changed value, as in torch; or it is refused by name.

The truth is the author's own loop; it differs from the loop of the network that reads the value before the change.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
import torch.nn.functional as F
from export_nets import DT, converted, exported, leaky, spikes_like, torch_outputs
from torch import Tensor, nn

import spikeport
from spikeport.deploy import backends
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.errors import UnfaithfulError

X = spikes_like((8,), steps=50)


class Net(nn.Module):
    def __init__(self, forward: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wired = forward
        self.a, self.b, self.relu, self.drop = (
            nn.Linear(8, 8),
            nn.Linear(8, 8),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5, True),
        )
        self.register_buffer("seen", torch.zeros(8))
        settings: dict[str, Any] = {"threshold": 0.3, "reset_mechanism": "zero"}
        self.l1, self.l2 = leaky(**settings), leaky(**settings)
        self.r, self.hand = snntorch.RLeaky(0.9, linear_features=8, init_hidden=True), leaky(output=True)
        for layer in (self.a, self.b):
            nn.init.normal_(layer.weight, std=0.7)

    def forward(self, x: Tensor) -> Any:
        return self.wired(self, x)


def pair(change: Callable[[Any, Tensor, Tensor], Any], plain: Callable[[Any, Tensor, Tensor], Any]) -> Any:
    """Two readers behind a change in place, and the same with a new tensor for the first."""
    return tuple(lambda n, x, f=f: (lambda y: (n.l1(f(n, y, x)), n.l2(y)))(n.a(x)) for f in (change, plain))


def statement(n: Any, y: Tensor, x: Tensor) -> Tensor:
    y += x
    return y


def on_the_argument(n: Any, x: Tensor) -> Any:
    x.mul_(-1)
    return n.l1(n.a(x)), n.l2(n.b(x))


# In place, and the form that makes a new tensor, with which the second reader gets another value.
ON_THE_CHIP: dict[str, Any] = {
    "add_": pair(lambda n, y, x: y.add_(x), lambda n, y, x: y + x),
    "+=": pair(statement, lambda n, y, x: y + x),
    "mul_ by a number": pair(lambda n, y, x: y.mul_(-2), lambda n, y, x: y * -2),
    "behind detach": pair(lambda n, y, x: y.detach().neg_().mul_(2), lambda n, y, x: y * -2),
    "twice": pair(lambda n, y, x: y.add_(x).sub_(n.b(x)), lambda n, y, x: y + x - n.b(x)),
    "behind Dropout in place": pair(lambda n, y, x: n.drop(y).add_(x), lambda n, y, x: n.drop(y.clone()) + x),
    "the argument": (on_the_argument, lambda n, x: (n.l1(n.a(-x)), n.l2(n.b(x)))),
}
ON_THE_HOST: dict[str, Any] = {
    "nn.ReLU(inplace=True)": pair(lambda n, y, x: n.relu(y), lambda n, y, x: F.relu(y)),
    "F.relu(inplace=True)": pair(lambda n, y, x: F.relu(y, inplace=True), lambda n, y, x: F.relu(y)),
    "F.relu, by place": pair(lambda n, y, x: F.relu(y, True), lambda n, y, x: F.relu(y)),
    "torch.relu_": pair(lambda n, y, x: torch.relu_(y), lambda n, y, x: torch.relu(y)),
    "product of signals": pair(lambda n, y, x: y.mul_(n.b(x)), lambda n, y, x: y * n.b(x)),
}


@pytest.mark.parametrize("what", ON_THE_CHIP)
def test_later_readers_of_a_changed_value_get_the_changed_one(what: str) -> None:
    change, plain = ON_THE_CHIP[what]
    net, naive = Net(change).eval(), Net(plain).eval()
    before = X.clone()
    wanted, other = torch_outputs(net, X)[1], torch_outputs(naive, X)[1]
    assert not torch.equal(wanted, other)
    assert 50 < wanted.sum() < wanted.numel() - 50
    conversion, _ = exported(net, X)  # holds both outputs against that loop
    assert len(conversion.outputs) == 2
    assert torch.equal(X, before)


@pytest.mark.parametrize("what", ON_THE_HOST)
def test_so_they_do_on_the_host(what: str, tmp_path: Path) -> None:
    change, plain = ON_THE_HOST[what]
    net, naive, before = Net(change).eval(), Net(plain).eval(), X.clone()
    wanted, other = torch_outputs(net, X), torch_outputs(naive, X)
    assert not torch.equal(wanted[1], other[1])
    network = spikeport.export(net, X, DT, tmp_path / "n.bundle").network
    assert torch.equal(X, before)
    run = run_network(network, lower_network(network, backends.get("reference")), {"x": X.numpy()})
    for name, value in zip(network.outputs, wanted, strict=True):
        np.testing.assert_array_equal(run.tensors[name], value, err_msg=name)


def test_a_rectified_input_is_not_rectified_in_the_authors_hands(tmp_path: Path) -> None:
    net, x = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8), leaky(threshold=0.3)).eval(), torch.randn(50, 3, 8)
    before = x.clone()
    (wanted,) = torch_outputs(net, x)
    network = spikeport.export(net, x, DT, tmp_path / "n.bundle").network
    assert torch.equal(x, before)
    run = run_network(network, lower_network(network, backends.get("reference")), {"input": x.numpy()})
    np.testing.assert_array_equal(run.tensors[network.outputs[0]], wanted)


def places(n: Any, x: Tensor) -> Tensor:
    y = n.a(x)
    y[:, 0] = 1
    return n.l1(y)


def membrane(n: Any, x: Tensor) -> Tensor:
    _, mem = n.hand(n.a(x))
    return n.l1(mem.mul_(0.5))


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "x[...] =": (places, r"x\[...\] = ... in forward.*torch.where"),
    "a view is read later": (
        lambda n, x: (lambda y: (lambda v: n.l1(y.add_(x)) + n.l2(v[..., 0]))(y.unsqueeze(-1)))(n.a(x)),
        "changes 'a' in place, and 'unsqueeze', of the same memory",
    ),
    "through a view": (lambda n, x: (lambda y: n.l1(y.view(-1, 4, 2).mul_(2).flatten(1)) + n.l2(y))(n.a(x)), "'a', of"),
    "a buffer": (lambda n, x: n.l1(n.a(x) * n.seen.add_(1)), "'seen': forward changes it"),
    "a buffer, by a signal": (
        lambda n, x: n.l1(n.a(x) * n.seen.add_(x.sum(0))),
        "changes 'seen', which lives from step",
    ),
    "a weight": (lambda n, x: n.l1(F.linear(x, n.a.weight.mul_(0.9))), "changes 'a.weight', which lives"),
    "a membrane": (membrane, "changes 'getitem.*', a neuron's state"),
    "spikes that come back": (lambda n, x: n.l1(n.r(n.a(x)).mul_(2)), "changes 'r', a neuron's state"),
    "copy_": (lambda n, x: n.l1(n.a(x).copy_(x)), "changes 'a' in place"),
    "out=": (lambda n, x: (lambda y: n.l1(torch.add(x, x, out=y)))(n.a(x)), "changes 'a' in place"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_other_form_means_is_refused(what: str) -> None:
    forward, said = REFUSED[what]
    with pytest.raises(UnfaithfulError, match=said) as refused:
        converted(Net(forward).eval(), X)
    assert refused.value.fix


def test_the_advice_for_a_view_is_the_same_network(tmp_path: Path) -> None:
    """`Use the form that makes a new tensor`."""
    net = Net(lambda n, x: (lambda y: n.l1(y.view(-1, 4, 2).mul(2).flatten(1)) + n.l2(y))(n.a(x))).eval()
    (wanted,) = torch_outputs(net, X)
    network = spikeport.export(net, X, DT, tmp_path / "n.bundle").network
    run = run_network(network, lower_network(network, backends.get("reference")), {"x": X.numpy()})
    np.testing.assert_array_equal(run.tensors[network.outputs[0]], wanted)


class WindowNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.l1, self.l2 = nn.Linear(8, 8), snntorch.StateLeaky(0.8, 8), snntorch.StateLeaky(0.8, 8)

    def forward(self, x: Tensor) -> Any:
        y = self.a(x)
        z = y
        z += 1.5 * x
        return self.l1(z)[0], self.l2(y)[0]


def test_so_they_are_in_a_network_of_whole_windows(tmp_path: Path) -> None:
    net, before = WindowNet().eval(), X.clone()
    with torch.no_grad():
        wanted = net(X.clone())
    assert torch.equal(wanted[0], wanted[1])
    network = spikeport.export(net, X, DT, tmp_path / "n.bundle").network
    assert torch.equal(X, before)
    run = run_network(network, lower_network(network, backends.get("reference")), {"x": X.numpy()})
    for name, value in zip(network.outputs, wanted, strict=True):
        np.testing.assert_array_equal(run.tensors[name], value, err_msg=name)
    assert 50 < wanted[0].sum() < wanted[0].numel() - 50
