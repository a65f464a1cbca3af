"""What both nets are made of. Every layer takes its activation from outside: a LIF, or a ReLU in the ANN twin."""

from __future__ import annotations

from collections.abc import Callable

import snntorch
from snntorch import surrogate
from torch import nn

from spikeport.models.l2act.params import L2ActParams

Activation = Callable[[], nn.Module]


def lif(params: L2ActParams) -> nn.Module:
    """Return the neurons `U[t] = beta U[t-1] + I[t]`, spike where U > threshold, then reset as `params` says."""
    neuron: nn.Module = snntorch.Leaky(
        beta=params.beta,
        threshold=params.threshold,
        spike_grad=surrogate.atan(alpha=params.slope),
        init_hidden=True,
        reset_mechanism=params.reset,
    )
    return neuron


def conv_norm(before: int, after: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Return a convolution that keeps the picture's size but for its stride, with the batch norm that folds into it."""
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


def conv_neuron(before: int, after: int, activation: Activation, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch norm, activation."""
    return nn.Sequential(*conv_norm(before, after, stride), activation())


def linear_neuron(before: int, after: int, activation: Activation, norm: bool) -> nn.Sequential:
    """Return a fully connected layer, its batch norm where there is one, activation."""
    normed = [nn.BatchNorm1d(after)] if norm else []
    return nn.Sequential(nn.Linear(before, after, bias=not norm), *normed, activation())
