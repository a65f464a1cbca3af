"""The residual blocks.

X is what a block gets, W1 and W2 are 3x3 convolutions, sc is the identity or, where channels or size change, a 1x1
convolution with batch norm.

    act-after-add      S = LIF(BN(W1 X)), Y = LIF(BN(W2 S) + sc(X)): binary, the sum is of two currents into one neuron
    sew                S = LIF(BN(W1 X)), Y = LIF(BN(W2 S)) + LIF(sc(X)): a sum of spikes, identity skips without LIF
    standard           S = LIF(BN(W1 X)), Y = LIF(BN(W2 S)) + sc(X): activation before the addition only
    membrane-shortcut  S = LIF(X), Y = BN(W2 LIF(BN(W1 S))) + X, or + sc(S) where it projects: real values pass on

`act-after-add` names the block of the paper, whose figure contrasts it with the standard one; what that figure draws
is not known, and `standard` is its literal opposite. Sources: SEW, Fang et al. 2021, arXiv:2102.04159; membrane
shortcuts, Hu et al. 2021, arXiv:2112.08954, here with a projection of spikes, so that all weights meet spikes.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from spikeport.models.l2act.layers import Activation, conv_neuron, conv_norm
from spikeport.models.l2act.params import Block

MakeBlock = Callable[[int, int, int, Activation], nn.Module]


class ActAfterAdd(nn.Module):
    """See the module."""

    def __init__(self, before: int, after: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.first = conv_neuron(before, after, activation, stride)
        self.second = conv_norm(after, after)
        self.shortcut = _shortcut(before, after, stride)
        self.neuron = activation()

    def forward(self, x: Tensor) -> Tensor:
        """Return Y."""
        out: Tensor = self.neuron(self.second(self.first(x)) + self.shortcut(x))
        return out


class ActBeforeAdd(nn.Module):
    """`sew` where the projection ends in neurons, else `standard`."""

    def __init__(self, before: int, after: int, stride: int, activation: Activation, spiking: bool) -> None:
        super().__init__()
        self.first = conv_neuron(before, after, activation, stride)
        self.second = conv_neuron(after, after, activation)
        self.shortcut = _shortcut(before, after, stride)
        if spiking and isinstance(self.shortcut, nn.Sequential):
            self.shortcut.append(activation())

    def forward(self, x: Tensor) -> Tensor:
        """Return Y."""
        out: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return out


class MembraneShortcut(nn.Module):
    """See the module."""

    def __init__(self, before: int, after: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.enter = activation()
        self.first = conv_neuron(before, after, activation, stride)
        self.second = conv_norm(after, after)
        self.shortcut = _shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return Y."""
        s = self.enter(x)
        passed = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(s)
        out: Tensor = self.second(self.first(s)) + passed
        return out


def _sew(before: int, after: int, stride: int, activation: Activation) -> nn.Module:
    return ActBeforeAdd(before, after, stride, activation, spiking=True)


def _standard(before: int, after: int, stride: int, activation: Activation) -> nn.Module:
    return ActBeforeAdd(before, after, stride, activation, spiking=False)


BLOCKS: dict[Block, MakeBlock] = {
    "act-after-add": ActAfterAdd,
    "sew": _sew,
    "membrane-shortcut": MembraneShortcut,
    "standard": _standard,
}


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    if before == after and stride == 1:
        return nn.Identity()
    return conv_norm(before, after, stride, kernel=1)
