"""Converters of pooling: means, adaptive means, and the maximum of spikes.

NIR pools over two dimensions only; over one, a mean or a sum is a depth-wise Conv1d of equal weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import nir
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.axes import Matrix, convolve, map_axes
from spikeport.export.convert.builder import Builder, Rewrite, Signal, Tap
from spikeport.export.convert.layers import converts
from spikeport.export.graph import SPIKING
from spikeport.export.shapes import Shape

Windows = list[tuple[int, int, int]]
Pooling = nn.AvgPool1d | nn.AvgPool2d | nn.MaxPool1d | nn.MaxPool2d


@converts(nn.AvgPool1d, nn.AvgPool2d)
def average_pool(
    builder: Builder, name: str, layer: nn.AvgPool1d | nn.AvgPool2d, signal: Signal, shape: Shape
) -> Signal:
    """Mean over windows, a divisor of 1 being their sum; what NIR's pooling has not is a matrix along each axis."""
    windows = _windows(layer)
    kernel, stride, padding = (list(setting) for setting in zip(*windows, strict=True))
    divisor = getattr(layer, "divisor_override", None)
    cropped = any(padding) and not layer.count_include_pad and divisor is None
    if cropped or _overhang(layer, signal.shape, windows) or len(signal.shape) != 1 + len(windows):
        matrices = _window_matrices(layer, signal.shape, windows, layer.count_include_pad)
        if divisor is not None:
            first = min(matrices)
            matrices = {axis: (m > 0) * (1 / divisor if axis == first else 1.0) for axis, m in matrices.items()}
        return _by_matrices(builder, name, signal, matrices)
    if len(kernel) == 1 or divisor not in (None, 1):
        divisor = divisor or prod(kernel)
        what = f"the sum of {prod(kernel)} by {divisor} as a depth-wise Conv{len(kernel)}d"
        builder.rewrites.append(Rewrite(name, what, f"one rounding of 1 / {divisor}"))
        return _depth_wise(builder, name, signal, 1 / divisor, kernel, stride, padding)
    kind = nir.SumPool2d if divisor == 1 else nir.AvgPool2d
    node = kind(kernel_size=np.array(kernel), stride=np.array(stride), padding=np.array(padding))
    return builder.add(name, node, signal, shape)


@converts(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
def adaptive_pool(
    builder: Builder, name: str, layer: nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d, signal: Signal, shape: Shape
) -> Signal:
    """A mean over windows of one size where the output divides the input, else a matrix along each axis."""
    first = len(shape) - _axes(layer)
    sides = list(zip(signal.shape[first:], shape[first:], strict=True))
    if first != 1 or any(n % made for n, made in sides):
        pooled = [F.adaptive_avg_pool1d(_identity(n), made) for n, made in sides]
        return _by_matrices(builder, name, signal, {i: m[0].T.numpy() for i, m in enumerate(pooled, start=first)})
    kernel = [n // made for n, made in sides]
    if len(kernel) == 1:
        what = f"adaptive pooling as the mean of {kernel[0]}: a depth-wise Conv1d"
        builder.rewrites.append(Rewrite(name, what, "one rounding of 1 / kernel"))
        return _depth_wise(builder, name, signal, 1 / kernel[0], kernel, kernel, [0])
    builder.rewrites.append(Rewrite(name, f"adaptive pooling as AvgPool2d{tuple(kernel)}"))
    size = np.array(kernel)
    return builder.add(name, nir.AvgPool2d(kernel_size=size, stride=size, padding=np.zeros(2, int)), signal, shape)


@converts(nn.MaxPool1d, nn.MaxPool2d)
def max_pool_of_spikes(
    builder: Builder, name: str, layer: nn.MaxPool1d | nn.MaxPool2d, signal: Signal, shape: Shape
) -> Signal:
    """The maximum of spikes is 1 where their sum exceeds 1/2: SumPool2d, or a depth-wise Conv1d, -> Threshold."""
    (source, *others) = signal.sources
    if others or not isinstance(builder.nodes[source], SPIKING):
        raise UnfaithfulError(
            f"layer '{name}'",
            "the maximum of values that are no spikes has no NIR node",
            "Pool the spikes behind the neuron, or use average pooling or a strided convolution",
        )
    if not is_plain(layer):
        raise UnfaithfulError(f"layer '{name}'", "dilation and return_indices are not NIR's", "Drop them")
    windows = _windows(layer)
    kernel, stride, padding = (list(setting) for setting in zip(*windows, strict=True))
    sums = f"{name}_sum"
    if _overhang(layer, signal.shape, windows) or len(signal.shape) != 1 + len(windows):
        matrices = _window_matrices(layer, signal.shape, windows, True)
        summed = map_axes(builder, sums, signal, {axis: (m > 0) * 1.0 for axis, m in matrices.items()})
        how = "a matrix along each axis"
    elif len(kernel) == 1:
        summed, how = _depth_wise(builder, sums, signal, 1.0, kernel, stride, padding), "Conv1d"
    else:
        node = nir.SumPool2d(kernel_size=np.array(kernel), stride=np.array(stride), padding=np.array(padding))
        summed, how = builder.add(builder.name(sums), node, signal, shape), "SumPool2d"
    builder.taps[name] = Tap(builder.call)
    builder.rewrites.append(Rewrite(name, f"the maximum of spikes as {how} -> Threshold(1/2)"))
    return builder.add(name, nir.Threshold(threshold=np.full(shape, 0.5)), summed)


def is_plain(layer: nn.MaxPool1d | nn.MaxPool2d) -> bool:
    """Return whether a maximum has no setting without a form."""
    return not layer.return_indices and {*_each(layer.dilation, 1)} == {1}


def _windows(layer: Pooling) -> Windows:
    """Return (kernel, stride, padding) along each axis that is pooled, which are the last."""
    axes = _axes(layer)
    settings = (_each(v, axes) for v in (layer.kernel_size, layer.stride, layer.padding))
    return list(zip(*settings, strict=True))


def _axes(layer: nn.Module) -> int:
    return 1 if type(layer).__name__.endswith("1d") else 2


def _overhang(layer: Pooling, shape: Shape, windows: Windows) -> bool:
    """Return whether windows stand over the end, as ceil_mode lets them where sizes do not divide."""
    sides = zip(shape[-len(windows) :], windows, strict=True)
    return bool(layer.ceil_mode) and any((n + 2 * p - k) % s for n, (k, s, p) in sides)


def _window_matrices(layer: Pooling, shape: Shape, windows: Windows, count_padding: bool) -> dict[int, Matrix]:
    """Return the matrix of the means along each axis, as torch counts them."""
    matrices: dict[int, Matrix] = {}
    first = len(shape) - len(windows)
    for axis, (n, (k, s, p)) in enumerate(zip(shape[first:], windows, strict=True), start=first):
        pooled = F.avg_pool1d(_identity(n), k, s, p, bool(layer.ceil_mode), count_padding)
        matrices[axis] = pooled[0].T.numpy()
    return matrices


def _by_matrices(builder: Builder, name: str, signal: Signal, matrices: Mapping[int, Matrix]) -> Signal:
    bound = "the rounding of its weights"
    builder.rewrites.append(Rewrite(name, "pooling as a matrix along each axis", bound))
    return map_axes(builder, name, signal, matrices)


def _depth_wise(
    builder: Builder, name: str, signal: Signal, value: float, kernel: list[int], stride: list[int], padding: list[int]
) -> Signal:
    channels = signal.shape[0]
    weight = np.full((channels, 1, *kernel), value)
    return convolve(builder, name, signal, weight, stride, padding, groups=channels)


def _identity(size: int) -> Tensor:
    """Return [1, size, size]: a channel for each of its elements."""
    return torch.eye(size, dtype=torch.float64)[None]


def _each(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """Return a torch size along each axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value)
