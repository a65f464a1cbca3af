"""Concatenation and stacking. NIR has neither; both are a sum of parts that are each scattered to their place.

`cat([a, b])` before a Linear or an ungrouped convolution splits its weights: `W [a; b] = W_a a + W_b b`. Elsewhere
each part passes a matrix of zeros and ones. Both are exact. A stack has one axis more than its parts, which no NIR
node makes; where it is flattened at once, that is one matrix a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import add

import nir
import numpy as np
import torch
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.axes import map_axes, selection
from spikeport.export.convert.builder import Builder, Rewrite, Signal
from spikeport.export.convert.functions import Call, handles
from spikeport.export.convert.layers import array
from spikeport.export.shapes import Shape


@dataclass(frozen=True)
class Joined:
    """Signals concatenated along an axis, counted without the batch."""

    parts: tuple[Signal, ...]
    axis: int

    @property
    def shape(self) -> Shape:
        """The whole's shape."""
        first, axis = self.parts[0].shape, self.axis
        return (*first[:axis], sum(part.shape[axis] for part in self.parts), *first[axis + 1 :])


@dataclass(frozen=True)
class Stacked:
    """Signals stacked along a new axis, counted without the batch."""

    parts: tuple[Signal, ...]
    axis: int


@handles(torch.cat, torch.concat, torch.concatenate)
def concatenate(call: Call) -> Joined:
    """`torch.cat([a, b], dim=1)`."""
    parts = call.argument(0, "tensors")
    if not all(isinstance(part, Signal | Joined) for part in parts):
        raise UnfaithfulError(f"'{call.name}'", "it joins a constant to a signal", "Put it into a bias behind")
    axis = _axis(call, call.argument(1, "dim", call.kwargs.get("axis", 0)), len(parts[0].shape))
    flat: list[Signal] = []
    for i, part in enumerate(parts):
        if isinstance(part, Joined) and part.axis != axis:
            part = merge(call.builder, f"{call.name}_{i + 1}", part)
        flat += part.parts if isinstance(part, Joined) else [part]
    return Joined(tuple(flat), axis)


@handles(torch.stack)
def stack(call: Call) -> Stacked:
    """`torch.stack([a, b], dim=1)`, to be flattened at once."""
    parts = call.argument(0, "tensors")
    if not all(isinstance(part, Signal) for part in parts):
        raise UnfaithfulError(f"'{call.name}'", "it stacks what are no signals alone", "Stack what layers give")
    return Stacked(tuple(parts), _axis(call, call.argument(1, "dim", 0), len(parts[0].shape) + 1))


def _axis(call: Call, dim: int, rank: int) -> int:
    axis = dim % (rank + 1) - 1
    if axis < 0:
        raise UnfaithfulError(f"'{call.name}'", "it joins along the batch", "Join features or channels: dim=1 or above")
    return axis


def flatten_stack(builder: Builder, name: str, stacked: Stacked) -> Signal:
    """Return a stack flattened to one axis: each part scattered to its places, and summed.

    Raises:
        UnfaithfulError: the matrices would be too large.
    """
    (inner,) = {part.shape for part in stacked.parts}
    shape = (*inner[: stacked.axis], len(stacked.parts), *inner[stacked.axis :])
    places = np.moveaxis(np.arange(prod(shape)).reshape(shape), stacked.axis, 0).reshape(len(stacked.parts), -1)
    added = []
    for i, part in enumerate(stacked.parts):
        if len(part.shape) > 1:
            node = nir.Flatten(input_type={"input": np.array(part.shape)}, start_dim=0, end_dim=-1)
            part = builder.add(builder.name(f"{name}_flat_{i + 1}"), node, part, (prod(part.shape),))
        matrix = selection(name, places[i], prod(shape)).T
        added.append(map_axes(builder, f"{name}_part_{i + 1}", part, {0: matrix}))
    builder.rewrites.append(Rewrite(name, f"stack of {len(added)}, flattened, as scattering matrices, summed"))
    return reduce(add, added)


def feed_joined(builder: Builder, name: str, layer: nn.Module, joined: Joined, shape: Shape) -> Signal | None:
    """Return what a layer makes of a concatenation by splitting its weights, `None` where it has none to split."""
    if isinstance(layer, nn.Linear) and joined.axis == len(joined.shape) - 1:
        return _split(builder, name, joined, array(layer.weight), _bias(layer), shape, None)
    if (
        joined.axis == 0
        and isinstance(layer, nn.Conv1d | nn.Conv2d)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    ):
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
    ends = np.cumsum([part.shape[joined.axis] for part in joined.parts])[:-1]
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


def merge(builder: Builder, name: str, joined: Joined | Stacked) -> Signal:
    """Return the concatenation as one signal: each part scattered to its place, and summed."""
    if isinstance(joined, Stacked):
        raise UnfaithfulError(
            f"'{name}'", "it reads a stack, whose new axis no NIR node makes", "Flatten it first, or use torch.cat"
        )
    whole, start = joined.shape[joined.axis], 0
    added = []
    for i, part in enumerate(joined.parts):
        places = np.arange(start, start + part.shape[joined.axis])
        scatter = selection(name, places, whole).T
        added.append(map_axes(builder, f"{name}_part_{i + 1}", part, {joined.axis: scatter}))
        start += len(places)
    builder.rewrites.append(Rewrite(name, f"concatenation of {len(added)} as scattering matrices, summed"))
    return reduce(add, added)
