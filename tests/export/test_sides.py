"""Chip stages end at neurons: what no neuron reads runs on the host, and real values into a chip stage are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikeport.deploy import backends
from spikeport.deploy.backend import explain_stage
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.graph import NEURONS
from spikeport.export.stages import HostStage

T, B = 20, 3


def neuron(**settings: Any) -> snntorch.Leaky:
    return snntorch.Leaky(**{"beta": 0.8, "init_hidden": True, **settings})


class Net(nn.Module):
    """A forward given as a function of the module and its input."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.way = forward

    def forward(self, x: Tensor) -> Any:
        return self.way(self, x)


def images() -> Tensor:
    return torch.rand(T, B, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def spikes() -> Tensor:
    return (torch.rand(T, B, 6, generator=torch.Generator().manual_seed(2)) < 0.4).float()


def convolutions(pool: nn.Module, last: nn.Module) -> nn.Module:
    conv = nn.Conv2d(1, 3, 3)
    nn.init.normal_(conv.weight, 0.2)
    return nn.Sequential(conv, pool, neuron(), nn.Flatten(), nn.Linear(27, 4), last)


def stream(net: Any, x: Tensor) -> Tensor:
    """A residual stream of values, which neurons and the read-out read."""
    h = 3 * net.a(x)
    h = h + 3 * net.b(net.first(h))
    answer: Tensor = net.out(h + 3 * net.c(net.last(h)))
    return answer


def several(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    current = 3 * net.a(x)
    return net.first(current), current


def sizes(net: Any, x: Tensor) -> Tensor:
    """One size of the batch, read on the chip and on the host, beside it and behind it."""
    size = x.size(0)
    flat = x.view(size, -1)
    s = net.first(3 * net.a(flat)) + F.relu(net.b(flat))
    answer: Tensor = net.out(F.relu(s.view(size, -1) * s))
    return answer


def pooled(net: Any, x: Tensor) -> Tensor:
    """Spikes out of a tuple, pooled, and read by a neuron behind a host operation, so on a later chip stage."""
    spk, _ = net.first(3 * net.a(x))
    spk = F.max_pool2d(net.drop(spk), 2)
    answer: Tensor = net.last(net.b(spk * spk.flip(-1)) + 3 * net.c(spk))
    return answer


def parts(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both halves of spikes: one gates on the host, the other feeds a neuron."""
    left, right = net.first(3 * net.a(x)).chunk(2, 1)
    return net.last(torch.sigmoid(net.b(torch.cat([left, left], 1))) * right), net.out(torch.cat([right, 1 - right], 1))


def layers(**more: nn.Module) -> dict[str, nn.Module]:
    return {"a": nn.Linear(6, 8), "first": neuron(), "out": nn.Linear(8, 3), **more}


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], str]] = {
    "max pooling of values": (lambda: convolutions(nn.MaxPool2d(2), neuron()), images, "hc"),
    "average pooling": (lambda: convolutions(nn.AvgPool2d(2), neuron()), images, "c"),
    "a read-out": (lambda: nn.Sequential(nn.Linear(6, 9), neuron(), nn.Linear(9, 3)), spikes, "ch"),
    "a sum of spikes": (
        lambda: Net(lambda n, x: n.first(3 * n.a(x)) + n.m(2 * n.a(x)), **layers(m=neuron())), spikes, "ch"
    ),
    "a membrane": (lambda: nn.Sequential(nn.Linear(6, 8), neuron(reset_mechanism="none")), spikes, "c"),
    "a value beside its neuron": (lambda: Net(several, **layers()), spikes, "hc"),
    "a residual stream": (
        lambda: Net(stream, **layers(b=nn.Linear(8, 8), c=nn.Linear(8, 8), last=neuron())), spikes, "ch"
    ),
    "sizes on both sides": (lambda: Net(sizes, **layers(b=nn.Linear(6, 8))), spikes, "ch"),
    "pooled spikes on a later chip": (
        lambda: Net(
            pooled,
            a=nn.Conv2d(1, 2, 3), first=neuron(output=True), drop=nn.Dropout(), b=nn.Conv2d(2, 2, 2),
            c=nn.Conv2d(2, 2, 2), last=neuron(),
        ),
        images,
        "chc",
    ),
    "pooled spikes": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), neuron(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4), neuron()),
        images,
        "c",
    ),
    "pooled with settings that NIR has not": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 4), neuron(), nn.MaxPool2d(2, 1, dilation=2), nn.Conv2d(3, 2, 2), neuron()
        ),
        images,
        "chc",
    ),
    "parts on both sides": (lambda: Net(parts, **layers(b=nn.Linear(8, 4), last=neuron())), spikes, "chc"),
    "a stack that stays one": (
        lambda: Net(
            lambda n, x: n.last(torch.softmax(torch.stack([n.first(3 * n.a(x)), 3 * n.b(x)], 1), 1).flatten(1)),
            **layers(b=nn.Linear(6, 8), last=neuron(threshold=0.5)),
        ),
        spikes,
        "chc",
    ),
    "flattened spikes": (lambda: nn.Sequential(nn.Conv2d(1, 3, 3), neuron(), nn.Flatten()), images, "c"),
}  # fmt: skip


def strengthened(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
    return net


def own_loop(net: nn.Module, x_TB: Tensor) -> list[np.ndarray]:
    """The author's loop: every step in turn, from reset states, in evaluation."""
    net.eval()
    for module in net.modules():
        if isinstance(module, snntorch.Leaky):
            module.reset_mem()
    rows = []
    with torch.no_grad():
        for x_B in x_TB:
            y = net(x_B)
            rows.append(y if isinstance(y, tuple) else (y,))
    return [torch.stack(values).numpy() for values in zip(*rows, strict=True)]


def run(bundle: Bundle, x_TB: Tensor) -> list[np.ndarray]:
    (name,) = bundle.network.inputs
    ran = run_network(bundle.network, lower_network(bundle.network, backends.get("reference")), {name: x_TB.numpy()})
    return [np.asarray(ran.tensors[tensor]) for tensor in bundle.network.outputs]


def kinds(bundle: Bundle) -> str:
    return "".join(stage.kind[0] for stage in bundle.network.stages)


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    make, sample, stages = CASES[request.param]
    torch.manual_seed(0)
    net = strengthened(make())
    x = sample()
    return export(net, x, 1e-3, tmp_path / "n.bundle"), net, x, stages


def test_the_stages_end_at_neurons_and_answer_as_the_authors_loop_does(case) -> None:
    bundle, net, x, stages = case
    assert kinds(bundle) == stages
    for chip in bundle.network.chips:
        graph = chip.graph
        ends = {u for u, w in graph.edges if w in graph.outputs}
        shown = {u for e in ends for u in ([e] if isinstance(graph.nodes[e], NEURONS) else graph.predecessors[e])}
        assert all(isinstance(graph.nodes[name], NEURONS) for name in shown)
    expected = own_loop(net, x)
    for got, wanted in zip(run(bundle, x), expected, strict=True):
        assert wanted.std() > 0
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.MaxPool2d(2)], ids=["avg", "max"])
@pytest.mark.parametrize("how", ["output", "by hand", "lstm"])
def test_a_last_neuron_may_return_its_states_too(pool: nn.Module, how: str, tmp_path) -> None:
    torch.manual_seed(0)
    last: Any = {
        "output": lambda: neuron(output=True),
        "by hand": lambda: neuron(init_hidden=False),
        "lstm": lambda: snntorch.SLSTM(4, 4, threshold=0.02, init_hidden=True, output=True),
    }[how]()
    net, x = strengthened(convolutions(pool, last)), images()
    bundle = export(net, x, 1e-3, tmp_path / "n.bundle")
    for module in net.modules():
        if isinstance(module, snntorch.SpikingNeuron):
            module.reset_mem()
    rows, states = [], ()
    with torch.no_grad():
        for x_B in x:
            spk, *states = last(net[:-1](x_B), *(states if how == "by hand" else ()))  # type: ignore[index]
            rows.append(spk)
    expected = torch.stack(rows).numpy()
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(run(bundle, x)[0], expected)
    assert any("no output here" in rewrite.what for rewrite in bundle.manifest.rewrites)


def test_the_work_is_all_there_and_on_its_side(tmp_path) -> None:
    """Counted by hand: what moves to the host leaves the chip, and nothing is lost."""
    torch.manual_seed(0)
    net = strengthened(convolutions(nn.MaxPool2d(2), neuron()))
    bundle = export(nn.Sequential(*net, nn.Linear(4, 5)), images(), 1e-3, tmp_path / "n.bundle")
    first, last = (stage for stage in bundle.network.stages if isinstance(stage, HostStage))
    # 3 channels of 6 x 6 places, 9 products each; 4 x 5 of the read-out.
    assert (first.macs_per_call, last.macs_per_call) == (3 * 36 * 9, 20)
    (chip,) = bundle.network.chips
    assert not any("Conv" in type(node).__name__ for node in chip.graph.nodes.values())


def test_loihi_names_the_inputs_that_carry_values(tmp_path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), neuron(reset_mechanism="zero"), nn.Conv2d(3, 2, 3), nn.MaxPool2d(2),
                        neuron(reset_mechanism="zero"), nn.Flatten(), nn.Linear(8, 2))  # fmt: skip
    bundle = export(strengthened(net), images(), 1e-3, tmp_path / "n.bundle")
    assert kinds(bundle) == "chch"
    for name in ("loihi", "lava-fixed"):
        said = [explain_stage(backends.get(name), chip) for chip in bundle.network.chips]
        assert all(verdict.fate != "refused" for verdicts in said for verdict in verdicts)
        assert [sum("Loihi 2" in verdict.reason for verdict in verdicts) for verdicts in said] == [1, 1]
    events = export(net, (images() < 0.3).float(), 1e-3, tmp_path / "events.bundle")
    first, second = (explain_stage(backends.get("loihi"), chip) for chip in events.network.chips)
    assert not any("Loihi 2" in verdict.reason for verdict in first)
    assert any("Loihi 2" in verdict.reason for verdict in second)
    assert not any("Loihi 2" in v.reason for v in explain_stage(backends.get("norse"), bundle.network.chips[0]))
