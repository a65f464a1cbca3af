"""What users write in forward beside plain layers: the bundle does what their own loop does, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from spikeport.deploy import backends
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.errors import UnfaithfulError
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.convert.private import forget

T, B, DT = 30, 4, 1e-3
Forward = Callable[[Any, Tensor], Any]


def neuron(**settings: Any) -> snntorch.Leaky:
    return snntorch.Leaky(**{"beta": 0.8, "init_hidden": True, "threshold": 0.3} | settings)


class Net(nn.Module):
    """Vectors [6] or images [2, 6, 6], with parts to wire."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.call = forward
        self.w, self.v, self.norm = nn.Linear(6, 8), nn.Linear(8, 8), nn.LayerNorm(8)
        self.conv, self.deep = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, groups=2)
        self.line = nn.Conv1d(2, 4, 3, stride=2)
        self.a, self.b, self.c = neuron(), neuron(), neuron()
        self.register_buffer("gain", torch.rand(1, 4, 1, 1) + 0.5)
        self.register_buffer("row", torch.rand(1, 8) + 0.5)
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x: Tensor) -> Any:
        return self.call(self, x)


def spikes(*shape: int) -> Tensor:
    return (torch.rand(T, B, *shape, generator=torch.Generator().manual_seed(3)) < 0.4).float()


def own_loop(model: nn.Module, x_TB: Tensor) -> Tensor:
    forget(model)
    with torch.no_grad():
        rows = [model(x.clone()) for x in x_TB]
    forget(model)
    return torch.stack([row[0] if isinstance(row, tuple) else row for row in rows])


def answer(bundle: Bundle, x_TB: Tensor) -> Any:
    network = bundle.network
    (name,) = network.inputs
    run = run_network(network, lower_network(network, backends.get("reference")), {name: x_TB.numpy()})
    return run.tensors[network.outputs[0]]


VECTOR, IMAGE, LINE = (6,), (2, 6, 6), (2, 9)
TAKEN: dict[str, tuple[Forward, tuple[int, ...]]] = {
    "F.linear": (lambda n, x: n.b(F.linear(n.a(n.w(x)), n.v.weight, bias=n.v.bias)), VECTOR),
    "F.linear without bias": (lambda n, x: n.b(F.linear(n.a(n.w(x)), n.v.weight)), VECTOR),
    "F.conv2d": (lambda n, x: n.a(F.conv2d(x, n.conv.weight, n.conv.bias, padding=1)), IMAGE),
    "F.conv2d in groups": (lambda n, x: n.b(F.conv2d(n.a(n.conv(x)), n.deep.weight, None, 2, 1, 1, 2)), IMAGE),
    "F.conv1d": (lambda n, x: n.a(F.conv1d(x, n.line.weight, n.line.bias, stride=2)), LINE),
    "F.max_pool2d of spikes": (lambda n, x: n.b(n.deep(F.max_pool2d(n.a(n.conv(x)), 2))), IMAGE),
    "F.max_pool2d of currents": (lambda n, x: n.a(F.max_pool2d(n.conv(x), 2, stride=1)), IMAGE),
    "F.max_pool1d of spikes": (lambda n, x: F.max_pool1d(n.a(n.line(x)), 2), LINE),
    "F.avg_pool2d": (lambda n, x: n.a(F.avg_pool2d(n.conv(x), kernel_size=2, padding=1)), IMAGE),
    "F.avg_pool1d": (lambda n, x: n.a(F.avg_pool1d(n.line(x), 2)), LINE),
    "F.adaptive_avg_pool2d": (lambda n, x: F.adaptive_avg_pool2d(n.a(n.conv(x)), (3, 3)), IMAGE),
    "F.adaptive_avg_pool1d": (lambda n, x: F.adaptive_avg_pool1d(n.a(n.line(x)), 2), LINE),
    "copies": (lambda n, x: n.b(n.v(n.a(n.w(x)).detach().clone().contiguous().float())), VECTOR),
    "factor [1, C, 1, 1]": (lambda n, x: n.b(n.deep(n.a(n.conv(x)) * n.gain)), IMAGE),
    "factor [1, N], on the left": (lambda n, x: n.b(n.v(n.row * n.a(n.w(x)))), VECTOR),
    "in place, read once": (lambda n, x: n.b(n.a(n.w(x)).mul_(2).add_(0)), VECTOR),
}


@pytest.mark.parametrize("what", TAKEN)
def test_the_bundle_is_the_users_loop(what: str, tmp_path: Path) -> None:
    forward, shape = TAKEN[what]
    model, x = Net(forward).eval(), spikes(*shape)
    wanted = own_loop(model, x)
    got = answer(export(model, x, DT, tmp_path / "n.bundle"), x)
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert wanted.abs().sum() > 20


def weight_norm() -> nn.Module:
    return parametrizations.weight_norm(nn.Linear(6, 8))


def spectral_norm() -> nn.Module:
    return parametrizations.spectral_norm(nn.Linear(6, 8))


def pruned() -> nn.Module:
    return prune.random_unstructured(nn.Linear(6, 8), "weight", 0.5)


def old_weight_norm() -> nn.Module:
    # torch marks it as deprecated, and it is what trained models hold.
    with pytest.warns(FutureWarning, match="weight_norm"):
        return torch.nn.utils.weight_norm(nn.Linear(6, 8))


@pytest.mark.parametrize("make", [weight_norm, spectral_norm, pruned, old_weight_norm])
def test_reparametrized_layers_are_the_layers_that_they_compute(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    layer = make()
    with torch.no_grad():
        for parameter in layer.parameters():  # so that a stored weight, if any, is stale
            parameter.mul_(1.5)
    model, x = nn.Sequential(layer, neuron()).eval(), spikes(6)
    bundle = export(model, x, DT, tmp_path / "n.bundle")
    wanted = own_loop(model, x)
    np.testing.assert_array_equal(answer(bundle, x), wanted)
    assert 20 < wanted.sum() < wanted.numel() - 20
    assert type(model[0]) is type(layer)


def test_thresholds_and_decays_with_a_batch_axis_of_one(tmp_path: Path) -> None:
    lif = neuron(beta=torch.rand(1, 4, 1, 1), threshold=torch.rand(1, 4, 1, 1))
    model, x = nn.Sequential(nn.Conv2d(2, 4, 3), lif).eval(), spikes(2, 6, 6)
    np.testing.assert_array_equal(answer(export(model, x, DT, tmp_path / "n.bundle"), x), own_loop(model, x))


def test_states_that_are_returned_unnamed_are_listed(tmp_path: Path) -> None:
    bundle = export(nn.Sequential(nn.Linear(6, 8), neuron(output=True)), spikes(6), DT, tmp_path / "n.bundle")
    assert len(bundle.network.outputs) == 1
    assert any(
        "output 1 of forward, its state 'mem', is no output here" in rewrite.what
        for rewrite in bundle.manifest.rewrites
    )


def counts(n: Any, x: Tensor) -> Tensor:
    h = n.a(n.w(x))
    n.seen = n.seen + h
    return n.b(n.seen)


def counts_in_place(n: Any, x: Tensor) -> Tensor:
    h = n.a(n.w(x))
    n.seen.add_(h.sum(0))
    return n.b(h * n.seen)


REFUSED: dict[str, tuple[Forward, str]] = {
    "buffer": (counts, "buffer 'seen': forward gives it a new value"),
    "buffer in place": (counts_in_place, "changes 'seen', which lives from step to step"),
    "softmax over the batch": (lambda n, x: n.b(F.softmax(n.a(n.w(x)), dim=0)), "another sample of the batch"),
    "mean over the batch": (
        lambda n, x: (lambda h: n.b(h - h.mean(0, keepdim=True)))(n.norm(n.a(n.w(x)))),
        "for two samples|another sample",
    ),
    "product over the batch": (
        lambda n, x: (lambda h: n.b(h.transpose(0, 1) @ h))(n.a(n.w(x))),
        "for two samples|another sample",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_step_cannot_do_is_refused(what: str, tmp_path: Path) -> None:
    forward, reason = REFUSED[what]
    x = spikes(6)
    before = x.clone()
    with pytest.raises(UnfaithfulError, match=reason) as refused:
        export(Net(forward), x, DT, tmp_path / "n.bundle", verify=False)
    assert refused.value.fix
    assert torch.equal(x, before)
    assert list(tmp_path.iterdir()) == []
