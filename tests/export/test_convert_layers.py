"""Layers against torch's own run, and those that NIR cannot say; normalisation and what it is folded into."""

from __future__ import annotations

import copy

import pytest
import snntorch as snn
import torch
from convert_nets import IMAGES, X, dense, shaken
from export_nets import converted, exact_or_refused, exported, leaky, node_spikes, spikes_like
from torch import nn

from spikeport.errors import UnfaithfulError


def conv_net(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, leaky(threshold=0.3), nn.Flatten(), nn.LazyLinear(5), leaky(threshold=0.3))


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(2, 4, 3, padding=1, groups=2)],
        [nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False)],
        [nn.Conv2d(2, 3, 3, padding="same", dilation=2)],
        [nn.Conv2d(2, 3, 3, padding="valid"), nn.AvgPool2d(2)],
        [nn.AvgPool2d((3, 2), stride=(1, 2), padding=(1, 1)), nn.Conv2d(2, 3, 1)],
        [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)],
        [nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3)],
        [nn.AvgPool2d(2), nn.BatchNorm2d(2, affine=False)],
        [nn.Conv2d(2, 3, 3, bias=False), nn.Identity(), nn.BatchNorm2d(3), nn.Dropout2d(0.5)],
        [nn.Flatten(2), nn.Conv1d(2, 4, 5, stride=2, padding=2, dilation=3, groups=2), nn.BatchNorm1d(4)],
        [nn.Flatten(2, 3), nn.Conv1d(2, 3, 3, padding="same")],
    ],
    ids=str,
)
def test_convolutional_layers(layers):
    layers = copy.deepcopy(layers)
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            if layer.affine:
                shaken(layer)
            else:
                layer.running_mean.uniform_(0, 0.3)
    net = conv_net(*layers)
    with torch.no_grad():
        net(IMAGES[0])  # the lazy layer, and a hidden state to be left alone
        for layer in net:
            if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
                layer.reset_parameters()  # of this test's own draw, not of the collection's
                layer.weight.normal_(std=0.7)
    conversion, _ = exported(net, IMAGES)
    assert all(spikes.any() for spikes in node_spikes(conversion, IMAGES).values())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
        nn.ReflectionPad2d(1),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.BatchNorm2d(2, track_running_stats=False),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(0),
        nn.InstanceNorm2d(2),
    ],
    ids=str,
)
def test_layers_that_nir_cannot_say_are_refused_by_name(layer):
    with pytest.raises(UnfaithfulError, match="0'"):
        converted(nn.Sequential(layer, leaky()), IMAGES)


OTHER_NEURONS = {
    "Synaptic": {"alpha": 0.5, "beta": 0.9, "init_hidden": True},
    "Alpha": {"alpha": 0.95, "beta": 0.9, "init_hidden": True},
    "Lapicque": {"beta": 0.9, "init_hidden": True},
    "RLeaky": {"beta": 0.9, "linear_features": 8, "init_hidden": True},
    "RSynaptic": {"alpha": 0.5, "beta": 0.9, "linear_features": 8, "init_hidden": True},
    "SLSTM": {"input_size": 8, "hidden_size": 8, "init_hidden": True},
    "LeakyParallel": {"input_size": 8, "hidden_size": 8},
}


@pytest.mark.filterwarnings("ignore:dropout option")
@pytest.mark.parametrize("name", OTHER_NEURONS)
def test_other_neurons_are_converted_or_refused_by_name(name):
    exact_or_refused(dense(getattr(snn, name)(**OTHER_NEURONS[name])), X, "1")


# What a forward may do: (function, neuron nodes wanted)


def test_a_norm_along_another_axis_is_not_folded_into_a_linear():
    norm = shaken(nn.BatchNorm1d(6))
    net = nn.Sequential(nn.Linear(5, 6), norm, leaky())
    exported(net, torch.rand(50, 2, 6, 5))


def test_a_norm_that_cancels_its_mean_still_verifies():
    """The folded bias is small, torch's intermediate is not: its rounding must not be taken for a difference."""
    net = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), leaky())
    norm = net[1]
    norm.running_mean.fill_(1.7)
    norm.running_var.fill_(0.83)
    norm.weight.data.fill_(1.3)
    norm.bias.data.fill_(1.3 * 1.7 / 0.83**0.5 + 1e-3)
    exported(net, spikes_like((8,), rate=0.05))
