"""Slices, padding, joins, constants, resizing and pooling of any size on a chip, against torch's values and by hand.

The oracle is torch's own forward, in float64, on real values and over the steps of the author's loop.
"""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from convert_nets import Net, X
from export_nets import converted, exported, leaky, node_spikes, spikes_like, torch_outputs
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert import axes
from spikeport.export.interpreter import run

IMAGE, LINE, VECTOR = (4, 5, 6), (4, 7), (8,)
IMAGES = spikes_like((2, 5, 6), steps=50, batch=2)


class Shown(nn.Module):
    """What a form gives, in front of a neuron and to be seen."""

    def __init__(self, form):
        super().__init__()
        self.form, self.lif = form, leaky(reset_mechanism="zero")

    def forward(self, x):
        y = self.form(x)
        return self.lif(y), y


class Between(nn.Module):
    """Weights, a neuron, a form, and a neuron."""

    def __init__(self, form):
        super().__init__()
        self.conv, self.form = nn.Conv2d(2, 4, 3, padding=1), form
        nn.init.normal_(self.conv.weight, std=0.5)
        self.l1 = leaky(reset_mechanism="zero", threshold=0.6)
        self.l2 = leaky(reset_mechanism="zero", threshold=0.313)

    def forward(self, x):
        return self.l2(self.form(self.l1(self.conv(x))))


class Last(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


OF_IMAGES = {
    "rows": Last(lambda x: x[:, :, 1:4]),
    "columns": Last(lambda x: x[..., 1:4]),
    "every axis": Last(lambda x: x[:, 1:3, ::2, 1:]),
    "a row": Last(lambda x: x[:, :, 2]),
    "a channel": Last(lambda x: x[:, 1]),
    "the last column": Last(lambda x: x.select(-1, -1)),
    "rows by a list": Last(lambda x: x[:, :, [3, 0, 0, 1]]),
    "narrow": Last(lambda x: x.narrow(2, 1, 3)),
    "chunks": Last(lambda x: x.chunk(2, 2)[1] - x.chunk(3, 2)[1][:, :, :2]),
    "unbound": Last(lambda x: x.unbind(1)[0] + x.unbind(1)[3]),
    "pads": Last(lambda x: F.pad(x, (1, 2, 0, 3))),
    "channels padded": Last(lambda x: F.pad(x, (0, 0, 0, 0, 1, 2))),
    "crops": Last(lambda x: F.pad(x, (-1, 2, 2, -3))),
    "ZeroPad2d": nn.ZeroPad2d((1, 0, 2, 1)),
    "a constant around": nn.ConstantPad2d((1, 0, 2, 1), 0.2),
    "cat of rows": Last(lambda x: torch.cat([x, x[:, :, :2]], 2)),
    "cat of columns": Last(lambda x: torch.cat([x, x], -1)),
    "a stack, flattened": Last(lambda x: torch.stack([x, 2 * x], 2).flatten(1)),
    "a number": Last(lambda x: 1 - x),
    "a number a channel": Last(lambda x: x + torch.linspace(0, 0.2, 4).reshape(4, 1, 1)),
    "a number a column": Last(lambda x: x + 0.1 * torch.arange(6).sin()),
    "a number a place": Last(lambda x: torch.arange(120).reshape(4, 5, 6).sin() - x),
    "nearest": nn.Upsample(scale_factor=2),
    "nearest to a size": nn.Upsample(size=(7, 13)),
    "nearest by fractions": nn.Upsample(scale_factor=(1.7, 2.5)),
    "nearest-exact": nn.Upsample(size=(3, 11), mode="nearest-exact"),
    "bilinear": nn.Upsample(size=(7, 13), mode="bilinear"),
    "bilinear, corners": nn.Upsample(scale_factor=(2.3, 1.7), mode="bilinear", align_corners=True),
    "F.interpolate": Last(lambda x: F.interpolate(x, scale_factor=3, recompute_scale_factor=True)),
    "PixelShuffle": nn.PixelShuffle(2),
    "transposed": nn.ConvTranspose2d(4, 3, 3, padding=1),
    "transposed, cropped": nn.ConvTranspose2d(4, 3, (2, 1), padding=(2, 1)),
    "transposed, stride": nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
    "transposed, groups": nn.ConvTranspose2d(4, 6, (3, 2), (3, 2), (0, 2), groups=2, dilation=(1, 2), bias=False),
    "ceil_mode": nn.AvgPool2d(2, ceil_mode=True),
    "ceil_mode, no padding counted": nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "no padding counted": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "a divisor": nn.AvgPool2d(2, divisor_override=3),
    "a divisor, ceil_mode": nn.AvgPool2d(2, ceil_mode=True, divisor_override=3),
    "adaptive": nn.AdaptiveAvgPool2d((3, 4)),
}
OF_LINES = {
    "nearest": nn.Upsample(scale_factor=2),
    "linear": nn.Upsample(size=10, mode="linear"),
    "transposed": nn.ConvTranspose1d(4, 6, 3, stride=3, groups=2, output_padding=2),
    "adaptive": nn.AdaptiveAvgPool1d(3),
    "ceil_mode": nn.AvgPool1d(2, ceil_mode=True),
    "pads": nn.ZeroPad1d((2, 1)),
    "one channel": Last(lambda x: x[:, 2]),
    "a number a place": Last(lambda x: x + torch.arange(28).reshape(4, 7).cos()),
    "pooled as an image": nn.AvgPool2d(2),
    "cat": Last(lambda x: torch.cat([x, x[..., 2:]], 2)),
}
OF_VECTORS = {
    "slice": Last(lambda x: x[:, 1:7:2]),
    "parts": Last(lambda x: x.split([3, 5], 1)[1] * 2),
    "pads": Last(lambda x: F.pad(x, (2, 1), value=0.5)),
    "a stack, interleaved": Last(lambda x: torch.stack([x, -x], 2).reshape(x.size(0), -1)),
    "a number each": Last(lambda x: torch.linspace(-1, 1, 8) - x),
    "a multiple": Last(lambda x: torch.sub(x[:, :4], x[:, 4:], alpha=3)),
    "pooled": nn.AvgPool1d(3, 2, 1),
    "adaptive": nn.AdaptiveAvgPool1d(3),
}
FORMS = [
    pytest.param(form, shape, id=f"{name} of {shape}")
    for forms, shape in ((OF_IMAGES, IMAGE), (OF_LINES, LINE), (OF_VECTORS, VECTOR))
    for name, form in forms.items()
]


@pytest.mark.parametrize(("form", "shape"), FORMS)
def test_the_values_are_torchs_own_in_float64(form, shape):
    x_TB = torch.randn(3, 2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = Shown(form).double().eval()
    graph = converted(model, x_TB).graph
    wanted = torch_outputs(model, x_TB)[1].numpy()
    got = run(graph, {"x": x_TB.numpy()}).nodes["output_1"]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", OF_IMAGES.values(), ids=OF_IMAGES.keys())
def test_between_neurons_it_is_the_authors_network(form):
    torch.manual_seed(1)
    conversion, agreement = exported(Between(form.float()), IMAGES)
    assert agreement.exact
    assert all(0.02 < spikes.mean() < 0.98 for spikes in node_spikes(conversion, IMAGES).values())


def shown(form, x):
    x_TB = torch.tensor(x, dtype=torch.float32)[None, None]
    return run(converted(Shown(form).eval(), x_TB).graph, {"x": x_TB.numpy()}).nodes["output_1"][0, 0].tolist()


def test_values_by_hand():
    assert shown(Last(lambda x: 1 - x), [0.0, 1.0, 0.25]) == [1.0, 0.0, 0.75]
    assert shown(Last(lambda x: x[:, 1:]), [1.0, 2.0, 3.0]) == [2.0, 3.0]
    assert shown(nn.ZeroPad1d((1, 2)), [[1.0, 2.0]]) == [[0.0, 1.0, 2.0, 0.0, 0.0]]
    assert shown(nn.Upsample(scale_factor=2), [[1.0, 2.0]]) == [[1.0, 1.0, 2.0, 2.0]]
    assert shown(nn.PixelShuffle(2), [[[1.0]], [[2.0]], [[3.0]], [[4.0]]]) == [[[1.0, 2.0], [3.0, 4.0]]]
    assert shown(nn.AvgPool1d(2, ceil_mode=True), [[1.0, 3.0, 5.0]]) == [[2.0, 5.0]]
    assert shown(nn.AdaptiveAvgPool1d(2), [[1.0, 3.0, 5.0]]) == [[2.0, 4.0]]
    assert shown(Last(lambda x: torch.stack([x, x + 4], 2).flatten(1)), [1.0, 2.0]) == [1.0, 5.0, 2.0, 6.0]
    transposed = nn.ConvTranspose1d(1, 1, 2, stride=2, bias=False)
    transposed.weight.data[:] = torch.tensor([1.0, 10.0])
    assert shown(transposed, [[1.0, 2.0]]) == [[1.0, 10.0, 2.0, 20.0]]
    mixed = nn.Upsample(scale_factor=2, mode="linear")
    assert shown(mixed, [[0.0, 4.0]]) == [[0.0, 1.0, 3.0, 4.0]]


WIRED = {
    "1 - spikes": (lambda s, x: s.l2(s.b(1 - s.l1(s.a(x)))), {"l1", "l2"}),
    "a constant behind a shared layer": (lambda s, x: (lambda h: s.l1(h + 0.5) + s.l2(h))(s.a(x)), {"l1", "l2"}),
    "one part read twice": (lambda s, x: (lambda p: s.l1(p[0] + 0.5) + s.l2(p[0]))(s.a(x).chunk(2, 1)), {"l1", "l2"}),
    "parts of spikes": (lambda s, x: (lambda p: s.l2(p[1] - 0.5 * p[0]))(s.l1(s.a(x)).chunk(2, 1)), {"l1", "l2"}),
    "gates of a cell": (lambda s, x: (lambda p: s.l2(torch.cat([p[1], p[0]], 1)))(s.a(x).split([3, 5], 1)), {"l2"}),
    "cat of a cat": (lambda s, x: s.l1(torch.cat([torch.cat([s.a(x), s.c(x)], 1), s.b(x)], 1)), {"l1"}),
}


@pytest.mark.parametrize(("forward", "nodes"), WIRED.values(), ids=WIRED.keys())
def test_wired_into_a_network(forward, nodes):
    conversion, agreement = exported(Net(forward), X)
    assert agreement.exact
    assert set(node_spikes(conversion, X)) == nodes


def test_a_constant_goes_into_the_bias_of_the_layer_before_it():
    net = Net(lambda s, x: s.l1(s.a(x) + 0.5)).eval()
    nodes = converted(net, X).graph.nodes
    assert [type(node).__name__ for node in nodes.values()] == ["Input", "Affine", "LIF", "Output"]
    np.testing.assert_array_equal(nodes["a"].bias, net.a.bias.detach().double().numpy() + 0.5)


def test_a_slice_or_a_border_of_an_image_is_one_small_convolution():
    for form in (Last(lambda x: x[:, :, 1:4, ::2]), nn.ZeroPad2d((1, 0, 2, 1))):
        kinds = [type(node) for node in converted(Shown(form).eval(), torch.zeros(1, 1, *IMAGE)).graph.nodes.values()]
        assert kinds.count(nir.Conv2d) == 1
        assert nir.Linear not in kinds


def test_a_network_without_its_constant_is_another():
    torch.manual_seed(1)
    with_it = node_spikes(exported(Net(WIRED["1 - spikes"][0]), X)[0], X)
    torch.manual_seed(1)
    without = node_spikes(exported(Net(lambda s, x: s.l2(s.b(-s.l1(s.a(x))))), X)[0], X)
    assert (with_it["l2"] != without["l2"]).any()


def test_what_would_take_a_huge_matrix_is_refused_by_name_and_a_smaller_one_is_taken(monkeypatch):
    monkeypatch.setattr(axes, "MAX_WEIGHTS", 100)
    with pytest.raises(UnfaithfulError, match=r"'form'.*more than 100"):
        converted(Shown(nn.Upsample(size=(9, 9))).eval(), torch.zeros(1, 1, *IMAGE))
    monkeypatch.setattr(axes, "MAX_WEIGHTS", 1 << 24)
    with pytest.raises(UnfaithfulError, match=r"'form'.*products a step"):
        converted(Shown(nn.Upsample(size=(2018, 8))).eval(), torch.zeros(1, 1, 8, 1009, 8))
    converted(Shown(nn.Upsample(size=(64, 64))).eval(), torch.zeros(1, 1, 32, 32, 32))


@pytest.mark.parametrize("beta", [0.9, 1.0, torch.linspace(0.1, 0.95, 8)], ids=["0.9", "1", "by element"])
def test_a_reset_without_delay_by_hand(beta):
    """The equation of the neuron, written out: no theta off twice on end, but twice theta to reach instead."""
    neuron = leaky(beta=beta, threshold=0.5, reset_mechanism="subtract", reset_delay=False)
    x_TB = spikes_like((8,), rate=0.5) * 1.3
    conversion, agreement = exported(nn.Sequential(neuron), x_TB)
    assert agreement.exact
    decay, u, naive, differs = np.asarray(beta), 0.0, 0.0, 0
    got = node_spikes(conversion, x_TB)["_0"]
    for x, spikes in zip(x_TB.double().numpy(), got, strict=True):
        v = decay * u + x
        wanted = v - 0.5 * (u > 0.5) > 0.5
        u = v - 0.5 * wanted
        np.testing.assert_array_equal(spikes, wanted)
        plain = decay * naive + x > 0.5
        naive = decay * naive + x - 0.5 * plain
        differs += (plain != wanted).sum()
    assert differs  # a neuron that only takes theta off at once is another
