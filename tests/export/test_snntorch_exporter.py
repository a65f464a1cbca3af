"""facts/nir.md's failure rows of `snntorch.export_nir`: it loses or fails, ours is exact or refuses."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from export_nets import converted, exact_or_refused, exported, leaky, node_spikes, spikes_like
from snntorch_way import Wired, X, mlp, recurrent, their_spikes, theirs, vector
from torch import nn

from spikeport.errors import SpikeportError, UnfaithfulError

pytestmark = pytest.mark.filterwarnings("ignore")
IMAGES = spikes_like((2, 6, 6), steps=50, batch=2)


def test_reset_to_zero_is_the_common_ground():
    net = mlp(reset_mechanism="zero")
    conversion, _ = exported(net, X)
    ours = node_spikes(conversion, X)["_3"]
    assert ours.any()
    np.testing.assert_array_equal(their_spikes(theirs(net, X[0]), X), ours)


@pytest.mark.parametrize("settings", [{"reset_mechanism": "subtract"}, {"reset_mechanism": "none"}], ids=str)
def test_lost_silently_reset_mechanism(settings):
    net = mlp(**settings)
    conversion, _ = exported(net, X)
    ours, wrong = node_spikes(conversion, X)["_3"], their_spikes(theirs(net, X[0]), X)
    assert ours.sum() > 1.1 * wrong.sum()


def test_lost_silently_graded_spikes_factor():
    net = mlp(reset_mechanism="zero", graded_spikes_factor=0.25)
    conversion, _ = exported(net, X)
    ours, wrong = node_spikes(conversion, X)["_3"], their_spikes(theirs(net, X[0]), X)
    assert (ours != (wrong != 0)).any()


@pytest.mark.parametrize("beta", [1.0, 1.2])
def test_beta_exported_unclamped(beta):
    net = mlp(reset_mechanism="zero", beta=beta)
    exported(net, X)
    taus = [np.asarray(n.tau) for n in theirs(net, X[0]).nodes.values() if isinstance(n, nir.LIF)]
    assert taus
    assert all(np.any(tau <= 0) or not np.all(np.isfinite(tau)) for tau in taus)


@pytest.mark.parametrize("settings", [{"inhibition": True}, {"state_quant": torch.round}], ids=["inhibition", "quant"])
def test_lost_silently_inhibition_and_state_quant(settings):
    net = mlp(reset_mechanism="zero", **settings)
    plain = their_spikes(theirs(mlp(reset_mechanism="zero"), X[0]), X)
    np.testing.assert_array_equal(their_spikes(theirs(net, X[0]), X), plain)
    with pytest.raises(UnfaithfulError, match=next(iter(settings))):
        converted(net, X)


@pytest.mark.parametrize("kind", ["Synaptic", "RLeaky"])
def test_lost_silently_reset_delay(kind):
    """snnTorch's reset to zero with delay swallows the input of the step after a spike: no LIF does."""
    more = {"alpha": torch.full((8,), 0.5)} if kind == "Synaptic" else {"linear_features": 8}
    late, now = (recurrent(getattr(snn, kind), reset_mechanism="zero", reset_delay=d, **more) for d in (True, False))
    assert sorted(theirs(late, X[0]).nodes) == sorted(theirs(now, X[0]).nodes)
    with pytest.raises(UnfaithfulError, match="swallows the input"):
        converted(late, X)
    exported(now, X)


def fails(net: nn.Module, sample: torch.Tensor, error: type[Exception], match: str) -> None:
    """Their exporter fails so; ours is exact."""
    with pytest.raises(error, match=match):
        theirs(net, sample[0])
    _, agreement = exported(net.eval(), sample)
    assert agreement.exact


def test_row_scalar_beta():
    fails(nn.Sequential(nn.Linear(8, 8), leaky(reset_mechanism="zero")), X, ValueError, "type mismatch")


def test_row_scalar_beta_of_the_docstring():
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)
    lif1 = snn.Leaky(beta=0.9, init_hidden=True)
    lif2 = snn.Leaky(beta=0.9, init_hidden=True, output=True)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 500), lif1, nn.Linear(500, 10), lif2)
    with pytest.raises(ValueError, match="type mismatch"):
        export_to_nir(net, torch.randn(1, 784))
    conversion, _ = exported(nn.Sequential(*net[:4], leaky()), spikes_like((784,), steps=50, batch=1))
    assert len(conversion.graph.spiking) == 2


def test_row_batch_dim_without_ignore_dims():
    from snntorch.export_nir import export_to_nir

    with pytest.raises(ValueError, match="type mismatch"):
        export_to_nir(mlp(reset_mechanism="zero"), X[0])
    conversion, _ = exported(mlp(reset_mechanism="zero"), X)
    assert conversion.graph.shapes["input"] == (8,)


def test_row_per_neuron_beta_and_threshold():
    assert their_spikes(theirs(mlp(reset_mechanism="zero"), X[0]), X).any()
    exported(mlp(reset_mechanism="zero"), X)


def test_row_per_channel_beta():
    neuron = leaky(beta=torch.full((4, 1, 1), 0.9), threshold=torch.ones(4, 1, 1), reset_mechanism="zero")
    fails(nn.Sequential(nn.Conv2d(2, 4, 3), neuron), IMAGES, ValueError, "type mismatch|broadcast")


def image_neuron(*shape: int, **settings):
    return leaky(beta=torch.full(shape, 0.9), threshold=torch.ones(shape), reset_mechanism="zero", **settings)


NOT_IMPLEMENTED = {
    "BatchNorm": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.BatchNorm1d(8), vector(8)),
    "Dropout": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.Dropout(), vector(8)),
    "Identity": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.Identity(), vector(8)),
    "MaxPool": lambda: nn.Sequential(nn.Conv2d(2, 2, 3), image_neuron(2, 4, 4), nn.MaxPool2d(2)),
    "Conv1d": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(2, 2, 3), image_neuron(2, 34)),
    "Lapicque": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 8), snn.Lapicque(beta=0.9, init_hidden=True)),
    "Alpha": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(72, 8), snn.Alpha(0.9, 0.8, init_hidden=True, reset_mechanism="none")
    ),
}


@pytest.mark.parametrize("make", NOT_IMPLEMENTED.values(), ids=NOT_IMPLEMENTED.keys())
def test_row_not_implemented(make):
    torch.manual_seed(0)
    fails(make(), IMAGES, AttributeError, "input_type")


def test_row_not_implemented_relu():
    """What no NIR node does is refused inside one graph; a bundle makes it a host stage."""
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), vector(8))
    with pytest.raises(AttributeError, match="input_type"):
        theirs(net, X[0])
    exact_or_refused(net, X, "1")


LOST = {
    "residual": (lambda s, x: (lambda h: s.l2(s.b(h) + h))(s.l1(s.a(x))), {"l2"}),
    "times 2": (lambda s, x: s.l2(s.b(s.l1(s.a(x))) * 2.0), {"l2"}),
}


@pytest.mark.parametrize(("forward", "lost"), LOST.values(), ids=LOST.keys())
def test_row_silent_wrong_graph(forward, lost):
    net = Wired(forward)
    assert {"l1", "l2"} - set(theirs(net, X[0]).nodes) == lost
    conversion, _ = exported(net, X)
    assert set(conversion.graph.spiking) == {"l1", "l2"}


def test_row_return_a_plus_b():
    net = Wired(lambda s, x: (lambda h: s.l2(s.b(h)) + h)(s.l1(s.a(x))))
    assert ("l1", "output") not in theirs(net, X[0]).edges
    conversion, _ = exported(net, X)
    assert {("l1", "output"), ("l2", "output")} <= set(conversion.graph.edges)


def test_row_functional_view():
    net = Wired(lambda s, x: s.l2(s.b(s.l1(s.a(x)).view(-1, 8))))
    assert ("l1", "b") not in theirs(net, X[0]).edges
    conversion, _ = exported(net, X)
    assert ("l1", "b") in conversion.graph.edges


def test_row_functional_relu():
    net = Wired(lambda s, x: s.l2(s.b(F.relu(s.l1(s.a(x))))))
    assert ("l1", "b") not in theirs(net, X[0]).edges
    with pytest.raises(UnfaithfulError, match="relu"):
        converted(net, X)


def test_row_two_outputs():
    net = Wired(lambda s, x: (s.l1(s.a(x)), s.l2(s.b(x))))
    assert len([n for n in theirs(net, X[0]).nodes.values() if isinstance(n, nir.Output)]) == 1
    conversion, _ = exported(net, X)
    assert len(conversion.graph.outputs) == 2


def test_row_shared_lif():
    net = Wired(lambda s, x: s.l1(s.b(s.l1(s.a(x)))))
    with pytest.raises(ValueError, match="output"):
        theirs(net, X[0])
    with pytest.raises(SpikeportError, match="2 times"):
        converted(net, X)


def test_row_rleaky_scalar_v():
    net = recurrent(snn.RLeaky, all_to_all=False, V=0.5, reset_mechanism="zero", reset_delay=False)
    fails(net, X, ValueError, "V must be a vector")


def test_row_rleaky_conv():
    settings = {"beta": torch.full((2, 6, 6), 0.9), "threshold": torch.ones(2, 6, 6), "reset_delay": False}
    neuron = snn.RLeaky(conv2d_channels=2, kernel_size=3, init_hidden=True, reset_mechanism="zero", **settings)
    fails(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), neuron), IMAGES, ValueError, "type mismatch|broadcast")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_row_cuda_model():
    net = mlp(reset_mechanism="zero").cuda()
    with pytest.raises(TypeError, match="cpu"):
        theirs(net, X[0].cuda())
    assert converted(net, X).graph.spiking


def test_row_average_pool_padding_forced_0():
    net = nn.Sequential(nn.AvgPool2d((3, 3), stride=(2, 2), padding=(1, 1)), image_neuron(2, 3, 3))
    images = spikes_like((2, 6, 6), steps=50, batch=2, rate=0.8)
    conversion, _ = exported(net, images)
    assert np.asarray(conversion.graph.nodes["_0"].padding).tolist() == [1, 1]
    with pytest.raises(ValueError, match="type mismatch"):
        theirs(net, images[0])
