"""Models and samples for the tests of the conversion."""

from __future__ import annotations

from export_nets import leaky, spikes_like
from torch import nn

X = spikes_like((8,))
IMAGES = spikes_like((2, 9, 7), steps=50, batch=2)


def dense(neuron: nn.Module, size: int = 8) -> nn.Sequential:
    layer = nn.Linear(8, size)
    nn.init.normal_(layer.weight, std=0.5)
    return nn.Sequential(layer, neuron)


class Net(nn.Module):
    """A forward given as a function over a stock of layers."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.l1, self.l2, self.l3 = leaky(reset_mechanism="zero"), leaky(), leaky(reset_mechanism="zero", beta=0.5)
        self.bn, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)
        for layer in (self.a, self.b, self.c):
            nn.init.normal_(layer.weight, std=0.7)
        self.wired = forward
        self.previous = 0.0

    def forward(self, x):
        return self.wired(self, x)


class Net2(Net):
    def forward(self, x, y):
        return self.wired(self, x, y)


def shaken(norm: nn.Module) -> nn.Module:
    """A BatchNorm as training leaves it."""
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.3, 2)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    return norm
