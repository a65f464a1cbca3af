"""Concatenation. NIR has none; a concatenation is a sum of parts that are each scattered to their place.

`cat([a, b])` before a Linear or an ungrouped convolution splits its weights: `W [a; b] = W_a a + W_b b`. Elsewhere
each part passes a matrix of zeros and ones. Both are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
import torch
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Builder, Rewrite, Signal
from spikeport.export.convert.functions import Call, handles
from spikeport.export.convert.layers import array
from spikeport.export.shapes import Shape


@dataclass(frozen=True)
class Joined:
    """Signals concatenated along their first dimension (features, or channels)."""

    parts: tuple[Signal, ...]

    @property
    def shape(self) -> Shape:
        """The whole's shape."""
        return (sum(part.shape[0] for part in self.parts), *self.parts[0].shape[1:])


@handles(torch.cat, torch.concat, torch.concatenate)
def concatenate(call: Call) -> Joined:
    """`torch.cat([a, b], dim=1)`."""
    parts, dim = call.argument(0, "tensors"), call.argument(1, "dim", 0)
    if not all(isinstance(part, Signal | Joined) for part in parts):
        raise UnfaithfulError(f"'{call.name}'", "it joins a constant to a signal", "Put it into a bias behind")
    rank = len(parts[0].shape) + 1
    if dim % rank != 1:
        raise UnfaithfulError(
            f"'{call.name}'", f"it joins along dimension {dim}", "Join features or channels: dim=1, after the batch"
        )
    flat = [p for part in parts for p in (part.parts if isinstance(part, Joined) else (part,))]
    return Joined(tuple(flat))


def feed_joined(builder: Builder, name: str, layer: nn.Module, joined: Joined, shape: Shape) -> Signal | None:
    """Return what a layer makes of a concatenation by splitting its weights, `None` where it has none to split."""
    if isinstance(layer, nn.Linear) and len(joined.shape) == 1:
        return _split(builder, name, joined, array(layer.weight), _bias(layer), shape, None)
    if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros":
        return _split(builder, name, joined, array(layer.weight), _bias(layer), shape, layer)
    return None


def _bias(layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> np.ndarray | None:
    return None if layer.bias is None else array(layer.bias)


def _split(
    builder: Builder,
    name: str,
    joined: Joined,
    weight: np.ndarray,
    bias: np.ndarray | None,
    shape: Shape,
    conv: nn.Conv1d | nn.Conv2d | None,
) -> Signal:
    ends = np.cumsum([part.shape[0] for part in joined.parts])[:-1]
    result: Signal | None = None
    for i, (part, w) in enumerate(zip(joined.parts, np.split(weight, ends, axis=1), strict=True)):
        b = bias if i == 0 else None
        node = _linear_node(w, b) if conv is None else _conv_node(conv, w, b, part.shape)
        added = builder.add(builder.name(name if i == 0 else f"{name}_{i + 1}"), node, part, shape)
        result = added if result is None else result + added
    assert result is not None
    builder.rewrites.append(Rewrite(name, f"weights split over {len(joined.parts)} concatenated inputs"))
    return result


def _linear_node(weight: np.ndarray, bias: np.ndarray | None) -> nir.NIRNode:
    return nir.Linear(weight) if bias is None else nir.Affine(weight, bias)


def _conv_node(layer: nn.Conv1d | nn.Conv2d, weight: np.ndarray, bias: np.ndarray | None, shape: Shape) -> nir.NIRNode:
    flat = isinstance(layer, nn.Conv1d)
    padding = layer.padding if isinstance(layer.padding, str) else layer.padding[0] if flat else layer.padding
    return (nir.Conv1d if flat else nir.Conv2d)(
        input_shape=shape[1] if flat else shape[1:],
        weight=weight,
        stride=layer.stride[0] if flat else layer.stride,
        padding=padding,
        dilation=layer.dilation[0] if flat else layer.dilation,
        groups=1,
        bias=np.zeros(len(weight), weight.dtype) if bias is None else bias,
    )


def merge(builder: Builder, name: str, joined: Joined) -> Signal:
    """Return the concatenation as one signal: each part scattered to its place, and summed."""
    total, start = joined.shape, 0
    result: Signal | None = None
    for i, part in enumerate(joined.parts):
        size = part.shape[0]
        scatter = np.zeros((total[0], size), np.float32)
        scatter[np.arange(start, start + size), np.arange(size)] = 1
        added = builder.add(builder.name(f"{name}_part_{i + 1}"), _scatter_node(scatter, part.shape), part, total)
        result = added if result is None else result + added
        start += size
    assert result is not None
    builder.rewrites.append(Rewrite(name, f"concatenation of {len(joined.parts)} as scattering matrices, summed"))
    return result


def _scatter_node(scatter: np.ndarray, shape: Shape) -> nir.NIRNode:
    if len(shape) == 1:
        return nir.Linear(scatter)
    flat = len(shape) == 2
    return (nir.Conv1d if flat else nir.Conv2d)(
        input_shape=shape[1] if flat else shape[1:],
        weight=scatter.reshape(*scatter.shape, *(1,) * (len(shape) - 1)),
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=np.zeros(len(scatter), np.float32),
    )
