"""Converters of what makes an image larger, or of another size: Upsample, PixelShuffle, ConvTranspose1d and 2d.

Torch resizes one axis after the other, so each axis has its matrix: what torch itself makes of the columns of the
identity along it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.axes import Matrix, convolve, gather_and_place, map_axes
from spikeport.export.convert.builder import Builder, Rewrite, Signal
from spikeport.export.convert.layers import array, converts
from spikeport.export.shapes import Shape

# How torch calls along one axis what it calls by these names along two.
ALONG_ONE = {"nearest": "nearest", "nearest-exact": "nearest-exact", "linear": "linear", "bilinear": "linear"}
REVERSED = "a convolution with its kernel reversed"
SPREAD = f"zeros between the elements by matrices along each axis, then {REVERSED}"


@converts(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)
def upsample(builder: Builder, name: str, layer: nn.Upsample, signal: Signal, shape: Shape) -> Signal:
    """`y[i] = x[floor(i / factor)]` along each axis, or the linear mixture of two neighbours."""
    mode = ALONG_ONE.get(layer.mode)
    if mode is None:
        raise UnfaithfulError(
            f"layer '{name}'",
            f"mode '{layer.mode}' mixes more than neighbours, which has no converter",
            "Use mode='nearest' or 'bilinear'",
        )
    factors = _each(layer.scale_factor, len(shape) - 1)
    # Torch rounds the weights of a mixture to the type that it computes in: these are the network's.
    dtype = torch.float64 if builder.double else torch.float32
    # Torch computes where an element comes from by the factor it is given, unless it is told to forget it.
    kept = [None if layer.recompute_scale_factor else factor for factor in factors]
    matrices: dict[int, Matrix] = {}
    for axis, factor in enumerate(kept, start=1):
        size = None if factor is not None else shape[axis]
        eye = torch.eye(signal.shape[axis], dtype=dtype)[None]
        resized = F.interpolate(eye, size=size, scale_factor=factor, mode=mode, align_corners=layer.align_corners)
        matrices[axis] = resized[0].T.numpy()
    builder.rewrites.append(Rewrite(name, f"{layer.mode} resizing as a matrix along each axis"))
    return map_axes(builder, name, signal, matrices)


def _each(value: float | tuple[float, ...] | None, axes: int) -> tuple[float | None, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,) * axes


@converts(nn.PixelShuffle)
def pixel_shuffle(builder: Builder, name: str, layer: nn.PixelShuffle, signal: Signal, shape: Shape) -> Signal:
    """`y[c, r i + a, r j + b] = x[(c, a, b), i, j]`."""
    r = layer.upscale_factor
    if len(shape) != 3:
        raise UnfaithfulError(f"layer '{name}'", f"it makes {shape} of {signal.shape}", "Use it on (channels, y, x)")
    for axis, groups in ((2, shape[0] * r), (1, shape[0])):
        n = signal.shape[axis]
        maps = np.eye(r * n).reshape(r * n, n, r).swapaxes(1, 2)[None]  # [1, r n, r, n]
        signal = gather_and_place(builder, name, signal, axis, maps, groups)
    builder.rewrites.append(Rewrite(name, "channels put in their places by convolutions of zeros and ones"))
    return signal


@converts(nn.ConvTranspose1d, nn.ConvTranspose2d)
def transposed_convolution(
    builder: Builder, name: str, layer: nn.ConvTranspose1d | nn.ConvTranspose2d, signal: Signal, shape: Shape
) -> Signal:
    """`y[o, s i + d k - p] += w[c, o, k] x[c, i]`: zeros between the elements, then a convolution, kernel reversed."""
    weight = array(layer.weight)  # [C, C_out / groups, *kernel]
    axes = range(2, weight.ndim)
    by_group = weight.reshape(layer.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    kernels = np.flip(by_group.reshape(-1, *by_group.shape[2:]), tuple(axes)).copy()
    bias = None if layer.bias is None else array(layer.bias)
    overlap = [d * (k - 1) for d, k in zip(layer.dilation, weight.shape[2:], strict=True)]
    border = [n - p for n, p in zip(overlap, layer.padding, strict=True)]
    plain = set(layer.stride) == {1} and set(layer.output_padding) == {0} and min(border) >= 0
    if not plain:
        matrices: dict[int, Matrix] = {}
        for axis, (stride, before, over) in enumerate(zip(layer.stride, border, overlap, strict=True), start=1):
            matrix = np.zeros((shape[axis] + over, signal.shape[axis]))
            places = stride * np.arange(signal.shape[axis]) + before
            inside = (places >= 0) & (places < len(matrix))
            matrix[places[inside], np.flatnonzero(inside)] = 1
            matrices[axis] = matrix
        signal = map_axes(builder, f"{name}_spread", signal, matrices)
    builder.rewrites.append(Rewrite(name, REVERSED if plain else SPREAD))
    padding = border if plain else 0
    return convolve(builder, name, signal, kernels, 1, padding, layer.dilation, layer.groups, bias)
