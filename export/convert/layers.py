"""Converters of torch's layers: one function each, chosen by the layer's type.

Each takes the builder, the name of the new node, the layer, the incoming signal and the shape that torch gave the
result, and returns the outgoing signal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import nir
import numpy as np
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Array, Builder, Rewrite, Signal
from spikeport.export.shapes import Shape

Converter = Callable[[Builder, str, nn.Module, Signal, Shape], Signal]
C = TypeVar("C", bound=Callable[..., Signal])

converters: dict[type[nn.Module], Converter] = {}


def converts(*kinds: type[nn.Module]) -> Callable[[C], C]:
    """Register the converter of layer types; a type that is taken is an error."""

    def register(function: C) -> C:
        for kind in kinds:
            if kind in converters:
                raise ValueError(f"{kind.__name__} has two converters")
            converters[kind] = function
        return function

    return register


def array(tensor: object) -> Array:
    """Return a parameter as numpy, in its own precision."""
    return tensor.detach().cpu().numpy()  # type: ignore[attr-defined, no-any-return]


@converts(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
def wire(builder: Builder, name: str, layer: nn.Module, signal: Signal, shape: Shape) -> Signal:
    """Layers that do nothing in evaluation."""
    builder.rewrites.append(Rewrite(name, f"{type(layer).__name__} does nothing in evaluation: removed"))
    return signal


@converts(nn.Linear)
def linear(builder: Builder, name: str, layer: nn.Linear, signal: Signal, shape: Shape) -> Signal:
    """`y = W x + b`."""
    weight = array(layer.weight)
    node = nir.Linear(weight) if layer.bias is None else nir.Affine(weight, array(layer.bias))
    return builder.add(name, node, signal, shape)


@converts(nn.Conv1d, nn.Conv2d)
def convolution(builder: Builder, name: str, layer: nn.Conv1d | nn.Conv2d, signal: Signal, shape: Shape) -> Signal:
    """Cross-correlation with zero padding."""
    if layer.padding_mode != "zeros":
        raise UnfaithfulError(
            f"layer '{name}'", f"padding_mode '{layer.padding_mode}' is not NIR's", "Use padding_mode='zeros'"
        )
    bias = np.zeros(layer.out_channels, np.float32) if layer.bias is None else array(layer.bias)
    flat = isinstance(layer, nn.Conv1d)
    if len(signal.shape) != (2 if flat else 3):
        raise UnfaithfulError(
            f"layer '{name}'",
            f"its sample of shape {signal.shape} has no channels, so that torch takes the batch for them",
            "Give the sample an axis of channels in front",
        )
    kind = nir.Conv1d if flat else nir.Conv2d
    node = kind(
        input_shape=signal.shape[1] if flat else signal.shape[1:],
        weight=array(layer.weight),
        stride=layer.stride[0] if flat else layer.stride,
        padding=_padding(layer, flat),
        dilation=layer.dilation[0] if flat else layer.dilation,
        groups=layer.groups,
        bias=bias,
    )
    return builder.add(name, node, signal, shape)


def _padding(layer: nn.Conv1d | nn.Conv2d, flat: bool) -> object:
    if isinstance(layer.padding, str):
        return layer.padding
    return layer.padding[0] if flat else layer.padding


@converts(nn.Flatten)
def flatten(builder: Builder, name: str, layer: nn.Flatten, signal: Signal, shape: Shape) -> Signal:
    """Merge dimensions; NIR counts them without the batch."""
    return add_flatten(builder, name, signal, layer.start_dim, layer.end_dim, shape)


def add_flatten(builder: Builder, name: str, signal: Signal, start_dim: int, end_dim: int, shape: Shape) -> Signal:
    """Add a Flatten whose `start_dim` and `end_dim` are torch's, batch included."""
    rank = len(signal.shape) + 1
    start, end = start_dim % rank, end_dim % rank
    if start == 0:
        raise UnfaithfulError(f"'{name}'", "it flattens the batch into the sample", "Flatten from start_dim=1")
    if start == end:
        return signal
    node = nir.Flatten(input_type={"input": np.array(signal.shape)}, start_dim=start - 1, end_dim=end - 1)
    return builder.add(name, node, signal, shape)


@converts(nn.BatchNorm1d, nn.BatchNorm2d)
def batch_norm(
    builder: Builder, name: str, layer: nn.BatchNorm1d | nn.BatchNorm2d, signal: Signal, shape: Shape
) -> Signal:
    """`y = g x + c` per channel, with `g = weight / sqrt(var + eps)` and `c = bias - g mean`.

    Folded in float64 into the layer before it where that layer feeds nothing else, else kept as a depth-wise
    convolution or a diagonal Affine.
    """
    if layer.running_mean is None or layer.running_var is None:
        raise UnfaithfulError(
            f"layer '{name}'", "it normalises by the batch at hand", "Train with track_running_stats=True"
        )
    one = np.ones(layer.num_features)
    weight = one if layer.weight is None else array(layer.weight).astype(np.float64)
    bias = 0 * one if layer.bias is None else array(layer.bias).astype(np.float64)
    gain = weight / np.sqrt(array(layer.running_var).astype(np.float64) + layer.eps)
    shift = bias - gain * array(layer.running_mean).astype(np.float64)
    source = signal.sources[0]
    if len(signal.sources) == 1 and foldable(builder, source, signal.shape):
        builder.nodes[source] = folded(builder.nodes[source], gain, shift)
        builder.rewrites.append(Rewrite(name, f"{type(layer).__name__} folded into '{source}'"))
        return signal
    return builder.add(name, channelwise(signal.shape, gain, shift), signal, shape)


def foldable(builder: Builder, source: str, shape: Shape) -> bool:
    """Return whether a gain on what the node `source` gives, of `shape`, can go into its weights."""
    node = builder.nodes[source]
    used = any(u == source for u, _ in builder.edges) or source in builder.shared
    # A Linear on a matrix makes its last axis; the normalisation goes along the first.
    fits = isinstance(node, nir.Conv1d | nir.Conv2d) or (isinstance(node, nir.Linear | nir.Affine) and len(shape) == 1)
    return fits and not used


def folded(node: nir.NIRNode, gain: Array, shift: Array) -> nir.NIRNode:
    """Return the weighted node with `y -> gain y + shift` behind it, along its first axis."""
    weight = node.weight * gain.reshape(-1, *[1] * (node.weight.ndim - 1))
    bias = getattr(node, "bias", 0.0) * gain + shift
    if isinstance(node, nir.Linear | nir.Affine):
        return nir.Affine(weight, bias)
    fields = {k: getattr(node, k) for k in ("input_shape", "stride", "padding", "dilation", "groups")}
    return type(node)(weight=weight, bias=bias, **fields)


def channelwise(shape: Shape, gain: Array, shift: Array) -> nir.NIRNode:
    """Return the node of `y = gain x + shift`, a number for each element of the first axis."""
    channels = len(gain)
    if len(shape) == 1:
        return nir.Affine(np.diag(gain), shift)
    ones = (1,) * (len(shape) - 1)
    kind = nir.Conv1d if len(shape) == 2 else nir.Conv2d
    flat = len(shape) == 2
    return kind(
        input_shape=shape[1] if flat else shape[1:],
        weight=gain.reshape(channels, 1, *ones),
        stride=1,
        padding=0,
        dilation=1,
        groups=channels,
        bias=shift,
    )
