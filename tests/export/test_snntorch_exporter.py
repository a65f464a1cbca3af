"""facts/nir.md's failure rows: snnTorch's own exporter loses or fails, ours is exact or refuses."""

from __future__ import annotations

import copy
import warnings

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from export_nets import converted, exact_or_refused, exported, leaky, node_spikes, spikes_like
from torch import nn

from spikeport.errors import SpikeportError
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run

pytestmark = pytest.mark.filterwarnings("ignore")
X = spikes_like((8,), steps=60)


def theirs(model: nn.Module, sample: torch.Tensor) -> nir.NIRGraph:
    """`snntorch.export_nir` as its documentation says, on a copy."""
    from snntorch.export_nir import export_to_nir

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return export_to_nir(copy.deepcopy(model), sample, ignore_dims=[0])


def their_spikes(graph: nir.NIRGraph, x: torch.Tensor) -> np.ndarray:
    chip = ChipGraph.from_nir(graph, 1e-4)  # their fixed step
    (name,) = chip.inputs
    return np.asarray(run(chip, {name: x.numpy()}).nodes[chip.outputs[0]])


def vector(size: int, **settings):
    """snnTorch's exporter needs per-neuron parameters."""
    settings |= {"beta": torch.full((size,), settings.get("beta", 0.9)), "threshold": torch.ones(size)}
    return leaky(**settings)


def mlp(**settings) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 20), vector(20, **settings), nn.Linear(20, 5), vector(5, **settings))
    nn.init.normal_(net[0].weight, std=0.5)
    nn.init.normal_(net[2].weight, std=0.5)
    return net


def test_reset_to_zero_is_the_common_ground():
    net = mlp(reset_mechanism="zero")
    conversion, _ = exported(net, X)
    ours = node_spikes(conversion, X)["_3"]
    assert ours.any()
    np.testing.assert_array_equal(their_spikes(theirs(net, X[0]), X), ours)


@pytest.mark.parametrize("settings", [{"reset_mechanism": "subtract"}, {"reset_mechanism": "none"}], ids=str)
def test_resets_that_they_lose_silently(settings):
    net = mlp(**settings)
    conversion, _ = exported(net, X)
    ours, wrong = node_spikes(conversion, X)["_3"], their_spikes(theirs(net, X[0]), X)
    assert ours.sum() > 1.1 * wrong.sum()


def test_graded_spikes_that_they_lose_silently():
    net = mlp(reset_mechanism="zero", graded_spikes_factor=0.25)
    conversion, _ = exported(net, X)
    ours, wrong = node_spikes(conversion, X)["_3"], their_spikes(theirs(net, X[0]), X)
    assert (ours != (wrong != 0)).any()


@pytest.mark.parametrize("beta", [1.0, 1.2])
def test_betas_that_they_do_not_clamp(beta):
    net = mlp(reset_mechanism="zero", beta=beta)
    exported(net, X)
    taus = [np.asarray(n.tau) for n in theirs(net, X[0]).nodes.values() if isinstance(n, nir.LIF)]
    assert taus
    assert all(np.any(tau <= 0) or not np.all(np.isfinite(tau)) for tau in taus)


class Wired(nn.Module):
    def __init__(self, forward):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        for layer in (self.a, self.b):
            nn.init.normal_(layer.weight, std=0.7)
        self.l1, self.l2 = vector(8, reset_mechanism="zero"), vector(8, reset_mechanism="zero")
        self.wired = forward

    def forward(self, x):
        return self.wired(self, x)


LOST = {
    "residual": lambda s, x: (lambda h: s.l2(s.b(h) + h))(s.l1(s.a(x))),
    "times 2": lambda s, x: s.l2(s.b(s.l1(s.a(x))) * 2.0),
    "view": lambda s, x: s.l2(s.b(s.l1(s.a(x)).view(-1, 8))),
    "two outputs": lambda s, x: (s.l1(s.a(x)), s.l2(s.b(x))),
}


@pytest.mark.parametrize("forward", LOST.values(), ids=LOST.keys())
def test_wirings_that_they_lose_or_fail_on(forward):
    net = Wired(forward)
    conversion, _ = exported(net, X)
    assert len(conversion.graph.spiking) == 2
    ours = node_spikes(conversion, X)["l2"]
    try:
        graph = theirs(net, X[0])
        wrong = their_spikes(graph, X)
    except Exception:
        return
    outputs = [n for n in graph.nodes.values() if isinstance(n, nir.Output)]
    assert len(outputs) < len(conversion.graph.outputs) or wrong.shape != ours.shape or (wrong != ours).any()


FAILING = {
    "scalar beta": lambda: nn.Sequential(nn.Linear(8, 8), leaky(reset_mechanism="zero")),
    "batch norm": lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), vector(8)),
    "dropout": lambda: nn.Sequential(nn.Linear(8, 8), nn.Dropout(), vector(8)),
    "identity": lambda: nn.Sequential(nn.Linear(8, 8), nn.Identity(), vector(8)),
    "per channel": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 3, 1), leaky(beta=torch.full((3, 1, 1), 0.9))
    ),
    "ReLU": lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), vector(8)),
    "Lapicque": lambda: nn.Sequential(nn.Linear(8, 8), snn.Lapicque(beta=0.9, init_hidden=True)),
}


@pytest.mark.parametrize("make", FAILING.values(), ids=FAILING.keys())
def test_networks_that_they_fail_on(make):
    torch.manual_seed(0)
    net = make().eval()
    with pytest.raises(Exception):  # noqa: B017, PT011 (AttributeError, ValueError, AssertionError by version)
        ChipGraph.from_nir(theirs(net, X[0]), 1e-4).to_nir().infer_all_shapes()
    exact_or_refused(net, X)


def test_a_shared_neuron():
    net = Wired(lambda s, x: s.l1(s.b(s.l1(s.a(x)))))
    with pytest.raises(ValueError, match="output"):
        theirs(net, X[0])
    with pytest.raises(SpikeportError, match="2 times"):
        converted(net, X)


def test_pool_padding_that_they_lose():
    torch.manual_seed(0)
    beta, theta = torch.full((2, 4, 4), 0.9), torch.full((2, 4, 4), 1.0)
    net = nn.Sequential(nn.AvgPool2d(3, stride=2, padding=1), leaky(beta=beta, threshold=theta))
    images = spikes_like((2, 7, 7), steps=50, batch=2, rate=0.8)
    conversion, _ = exported(net, images)
    assert np.asarray(conversion.graph.nodes["_0"].padding).tolist() == [1, 1]
    try:
        graph = theirs(net, images[0])
    except Exception:
        return
    pools = [n for n in graph.nodes.values() if isinstance(n, nir.AvgPool2d)]
    assert pools
    assert not np.any(pools[0].padding)
