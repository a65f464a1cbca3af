"""The snnTorch neuron of a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import snntorch
import torch
from snntorch import surrogate
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.back.cells import Cell
from spikeport.export.back.dynamics import equal, threshold
from spikeport.export.back.layers import constant, layer, tensor
from spikeport.export.graph import ChipGraph
from spikeport.export.neurons import Array

SpikeGrad = Callable[[Any], Any] | None


class Typed:
    """A surrogate gradient whose spikes are of the membrane's type; snnTorch's own are float32 always."""

    def __init__(self, spike_grad: SpikeGrad) -> None:
        self.spike_grad = surrogate.atan() if spike_grad is None else spike_grad

    def __call__(self, margin: Tensor) -> Tensor:
        """Return 1 where the membrane's margin over its threshold is positive, else 0."""
        spikes: Tensor = self.spike_grad(margin)
        return spikes.to(margin.dtype)


def neuron(graph: ChipGraph, cell: Cell, read: bool, dtype: torch.dtype, spike_grad: SpikeGrad) -> nn.Module:
    """Return the neuron of `cell`, with its state inside; it takes the cell's input times its drive.

    Args:
        graph: the network.
        cell: the nodes it stands for.
        read: whether it returns its states too, behind its spikes.
        dtype: of its parameters.
        spike_grad: snnTorch's surrogate gradient, `None` for its default.

    Raises:
        UnfaithfulError: the recurrence has no form in snnTorch.
    """
    steps = cell.dynamics
    zero = cell.spikes == cell.entry and not isinstance(graph.nodes[cell.entry], nir.Threshold)
    settings: dict[str, Any] = {
        "beta": constant(steps.beta, dtype),
        "init_hidden": True,
        "output": read,
        "spike_grad": spike_grad if dtype == torch.float32 else Typed(spike_grad),
        "reset_mechanism": "zero" if zero else "subtract" if cell.reset else "none",
    }
    if cell.spikes is not None:
        settings["threshold"] = constant(threshold(graph.nodes[cell.spikes], graph.shapes[cell.spikes]), dtype)
    if steps.alpha is not None:
        settings["alpha"] = constant(steps.alpha, dtype)
    if zero and (steps.alpha is not None or cell.recurrent):
        settings["reset_delay"] = False  # with it, snnTorch throws away the input of the step after a spike
    if cell.recurrent is None:
        plain: nn.Module = (snntorch.Leaky if steps.alpha is None else snntorch.Synaptic)(**settings)
        return plain
    if zero and steps.alpha is not None:
        raise UnfaithfulError(
            f"neuron '{cell.name}'",
            "it is a CubaLIF with recurrent weights, and snnTorch's RSynaptic with reset to zero swallows the input of "
            "the step after a spike",
            "Use LIF neurons, or reset by subtraction: CubaLI -> Threshold, with Scale(-threshold) back",
        )
    return _recurrent(graph, cell, settings, dtype)


def _recurrent(graph: ChipGraph, cell: Cell, settings: dict[str, Any], dtype: torch.dtype) -> nn.Module:
    """Return RLeaky or RSynaptic; their recurrent weights come after the drive, so they are multiplied by it."""
    kind = snntorch.RLeaky if cell.dynamics.alpha is None else snntorch.RSynaptic
    node = graph.nodes[str(cell.recurrent)]
    drive = cell.dynamics.drive
    driven = not equal(drive, 1.0, dtype)
    if cell.recurrent == cell.spikes or isinstance(node, nir.Scale):
        scale = np.ones(()) if cell.recurrent == cell.spikes else np.asarray(node.scale, dtype=np.float64)
        values = scale * drive if driven else scale
        one_to_one: nn.Module = kind(V=constant(values, dtype), all_to_all=False, **settings)
        return one_to_one
    weights = layer(node, graph.shapes[cell.entry], dtype)
    if isinstance(weights, nn.Conv2d):
        sizes: dict[str, Any] = {"conv2d_channels": weights.out_channels, "kernel_size": weights.kernel_size}
        axis = 0
    else:
        assert isinstance(weights, nn.Linear)
        sizes, axis = {"linear_features": weights.out_features}, len(graph.shapes[cell.entry]) - 1
    if driven:
        _scale_outputs(weights, _per_output(cell.name, drive, axis))
    recurrent: nn.Module = kind(**sizes, **settings)
    recurrent.recurrent = weights
    return recurrent


def _scale_outputs(weights: nn.Linear | nn.Conv2d, factor_O: Array) -> None:
    factor = tensor(factor_O, torch.float64)
    with torch.no_grad():
        rows = factor.reshape(-1, *[1] * (weights.weight.ndim - 1))
        weights.weight.copy_(weights.weight.double() * rows)
        if weights.bias is not None:
            weights.bias.copy_(weights.bias.double() * factor)


def _per_output(name: str, drive: Array, axis: int) -> Array:
    """Return the drive of each output of the recurrent weights, which lie along `axis`."""
    rows = np.moveaxis(drive, axis, 0).reshape(drive.shape[axis], -1)
    if np.any(rows != rows[:, :1]):
        raise UnfaithfulError(
            f"neuron '{name}'",
            "its tau or r differs between neurons that share recurrent weights, and snnTorch applies no factor there",
            "Give r = tau / dt",
        )
    return rows[:, 0]
