"""States that forward returns: an output of the bundle where they are what the author reads, and never lost unsaid.

The truth is the author's own loop, which carries the states by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from export_nets import DT, leaky, spikes_like
from torch import Tensor, nn

import spikeport
from spikeport.deploy import backends
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.errors import UnfaithfulError
from spikeport.export.bundle import Bundle

X = spikes_like((4,), steps=40)


class Net(nn.Module):
    """A neuron whose membrane is passed by hand, and a second behind it."""

    def __init__(self, reset: str, wired: Callable[[Any, Tensor, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.head = nn.Linear(4, 5), nn.Linear(5, 3)
        self.lif = snntorch.Leaky(beta=0.8, threshold=0.3, reset_mechanism=reset)
        self.last = leaky(reset_mechanism="zero", threshold=0.3)
        self.wired = wired

    def forward(self, x: Tensor, mem: Tensor) -> Any:
        return self.wired(self, x, mem)

    def step(self, x: Tensor, mem: Tensor) -> Any:
        return self.lif(self.fc(x), mem)


def mem_and_spk(n: Any, x: Tensor, mem: Tensor) -> Any:
    spk, mem = n.step(x, mem)
    return mem, spk


def mem_beside_others(n: Any, x: Tensor, mem: Tensor) -> Any:
    """Nobody reads the spikes of the neuron."""
    current = n.fc(x)
    _, mem = n.lif(current, mem)
    return n.last(n.head(current)), mem


def own_loop(net: nn.Module, place: int) -> list[Tensor]:
    mem, rows = torch.zeros(3, 5), []
    with torch.no_grad():
        for x in X:
            returned = net(x, mem)
            values = returned if isinstance(returned, tuple) else (returned,)
            mem = values[place]
            rows.append(values)
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def answers(bundle: Bundle) -> list[Any]:
    network = bundle.network
    (name, *_) = network.inputs
    run = run_network(network, lower_network(network, backends.get("reference")), {name: X.numpy()})
    return [run.tensors[name] for name in network.outputs]


# The network, at which place of forward's outputs the membrane comes out, and which of them are outputs of the bundle.
OUTPUTS: dict[str, tuple[Net, int, tuple[int, ...]]] = {
    "membrane alone, no reset": (Net("none", lambda n, x, mem: n.step(x, mem)[1]), 0, (0,)),
    "membrane alone, subtract": (Net("subtract", lambda n, x, mem: n.step(x, mem)[1]), 0, (0,)),
    "membrane first, no reset": (Net("none", mem_and_spk), 0, (0, 1)),
    "membrane first, subtract": (Net("subtract", mem_and_spk), 0, (0, 1)),
    "membrane last, no reset": (Net("none", lambda n, x, mem: n.step(x, mem)), 1, (0, 1)),
    "membrane last, subtract": (Net("subtract", lambda n, x, mem: n.step(x, mem)), 1, (0,)),
    "membrane last, its spikes unread": (Net("subtract", mem_beside_others), 1, (0, 1)),
}


@pytest.mark.parametrize("what", OUTPUTS)
def test_a_membrane_that_is_read_is_an_output(what: str, tmp_path: Path) -> None:
    net, place, kept = OUTPUTS[what]
    net.last.reset_mem()
    wanted = own_loop(net, place)
    net.last.reset_mem()
    bundle = spikeport.export(net, X, DT, tmp_path / "n.bundle")
    got = answers(bundle)
    assert len(got) == len(kept)
    for value, i in zip(got, kept, strict=True):
        np.testing.assert_allclose(value, wanted[i], atol=1e-5)
        assert len(np.unique(value)) > (20 if i == place else 1)
    left_out = [
        f"output {i} of forward, its state 'mem', is no output here" for i in {0, 1} - {*kept} if len(wanted) > 1
    ]
    said = [rewrite.what for rewrite in bundle.manifest.rewrites]
    assert all(any(text in what for what in said) for text in left_out)


def test_the_advice_for_one_left_out_is_followed(tmp_path: Path) -> None:
    """`return it first to have it`: the same membrane is output 0 then."""
    (_, place, kept), first = OUTPUTS["membrane last, subtract"], OUTPUTS["membrane first, subtract"][0]
    assert (place, kept) == (1, (0,))
    got = answers(spikeport.export(first, X, DT, tmp_path / "n.bundle"))
    np.testing.assert_allclose(got[0], own_loop(OUTPUTS["membrane last, subtract"][0], 1)[1], atol=1e-5)


def test_the_potential_of_alpha_is_one(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 5), snntorch.Alpha(0.8, 0.6, threshold=0.3, reset_mechanism="none"))
    with torch.no_grad():
        rows, states = [], ()
        for x in X:
            spk, *states = net[1](net[0](x), *states)
            rows.append((spk, states[-1]))
    got = answers(spikeport.export(net, X, DT, tmp_path / "n.bundle"))
    for value, wanted in zip(got, zip(*rows, strict=True), strict=True):
        np.testing.assert_allclose(value, torch.stack(wanted), atol=1e-5)
    assert len(np.unique(got[1])) > 20


@pytest.mark.parametrize("wired", [mem_and_spk, lambda n, x, mem: n.step(x, mem)[1], mem_beside_others])
def test_one_that_is_no_node_is_refused(wired: Any, tmp_path: Path) -> None:
    with pytest.raises(UnfaithfulError, match=r"output [01]: it reads the state 'mem' of neuron 'lif'") as refused:
        spikeport.export(Net("zero", wired), X, DT, tmp_path / "n.bundle")
    assert "reset_mechanism='none' or 'subtract'" in refused.value.fix


def test_hidden_states_of_the_usual_loop_are_named_and_no_outputs(tmp_path: Path) -> None:
    class Usual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(6, 3)
            self.a = snntorch.Synaptic(alpha=0.5, beta=0.8, threshold=0.3)
            self.b = snntorch.Leaky(beta=0.8, threshold=0.3)

        def forward(self, x: Tensor, syn: Tensor, mem1: Tensor, mem2: Tensor) -> Any:
            spk, syn, mem1 = self.a(self.fc1(x), syn, mem1)
            spk, mem2 = self.b(self.fc2(spk), mem2)
            return spk, syn, mem1, mem2

    net = Usual()
    states, rows = (torch.zeros(3, 6), torch.zeros(3, 6), torch.zeros(3, 3)), []
    with torch.no_grad():
        for x in X:
            spk, *states = net(x, *states)
            rows.append(spk)
    bundle = spikeport.export(net, X, DT, tmp_path / "n.bundle")
    (got,) = answers(bundle)
    np.testing.assert_array_equal(got, torch.stack(rows))
    said = [rewrite.what for rewrite in bundle.manifest.rewrites]
    assert sum("is no output here" in what for what in said) == 3


@pytest.mark.parametrize(("reset", "outputs"), [("none", 2), ("subtract", 1)])
def test_so_it_is_with_what_the_neuron_itself_returns(reset: str, outputs: int, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 5), leaky(output=True, reset_mechanism=reset, threshold=0.3))
    net[1].reset_mem()
    with torch.no_grad():
        rows = [net(x) for x in X]
    got = answers(spikeport.export(net, X, DT, tmp_path / "n.bundle"))
    assert len(got) == outputs
    for i, value in enumerate(got):
        np.testing.assert_allclose(value, torch.stack([row[i] for row in rows]), atol=1e-5)
