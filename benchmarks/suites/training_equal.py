"""Whether two ways to run a network compute the same, in double precision.

In single precision a batch of T*B sums in another order than one of B, and a membrane within that rounding of its
threshold spikes in the one run alone; in double precision this takes a membrane within 1e-15. Some of snnTorch's
surrogates return single precision whatever they are given: their spikes, exact in both, are lifted again, and only the
gradients are rounded on the way.

Shape suffixes: T time steps, B samples, N a step's own shape.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikeport.benchmarks.suites.training_cases import Work
from spikeport.benchmarks.suites.training_peer.steps import gradients, train_step
from spikeport.models.state import neurons

VALUES, GRADIENTS = 1e-9, 1e-5
"""Tolerances, of the largest value: any spike that is not the same moves the logits by far more."""


@dataclass(frozen=True)
class Computed:
    """What one training step computed.

    Attributes:
        tensors: all that the network's segments write, spikes among them, by name.
        gradients: of all parameters, by name.
    """

    tensors: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]

    def same(self, other: Computed) -> bool:
        """Return whether both are the same up to rounding, spikes exactly."""
        return _same(self.tensors, other.tensors, VALUES) and _same(self.gradients, other.gradients, GRADIENTS)


def computed(work: Work, folded: bool) -> Computed:
    """Return what our network computes, folded or step by step."""
    net = copy.deepcopy(work.net).double()
    for neuron in neurons(net).values():
        neuron.register_forward_hook(_lift)
    inputs = {name: x_TBN.double() for name, x_TBN in work.inputs_TBN.items()}
    tensors: dict[str, Tensor] = {}

    def logits() -> Tensor:
        tensors.update(net.tensors(inputs, folded))
        return tensors[net.answer]

    train_step(net, logits, work.labels_B)
    return Computed({name: value.detach() for name, value in tensors.items()}, gradients(net))


def _lift(_neuron: nn.Module, _given: object, spikes: Tensor) -> Tensor:
    return spikes.double()


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor], tolerance: float) -> bool:
    return a.keys() == b.keys() and all(_close(a[name], b[name], tolerance) for name in a)


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    scale = float(a.abs().max())
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=tolerance * scale)
