"""Converters of pooling beyond AvgPool2d: over one dimension, adaptive, and the maximum of spikes.

NIR pools over two dimensions only; over one, a mean or a sum is a depth-wise Conv1d of equal weights.
"""

from __future__ import annotations

import nir
import numpy as np
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Builder, Rewrite, Signal, Tap
from spikeport.export.convert.layers import converts, pair
from spikeport.export.graph import SPIKING
from spikeport.export.shapes import Shape


@converts(nn.AvgPool1d)
def average_pool_1d(builder: Builder, name: str, layer: nn.AvgPool1d, signal: Signal, shape: Shape) -> Signal:
    """Mean over windows, zero padding counted, as a depth-wise Conv1d."""
    kernel, stride, padding = (single(v) for v in (layer.kernel_size, layer.stride, layer.padding))
    if layer.ceil_mode or (padding and not layer.count_include_pad):
        raise UnfaithfulError(
            f"layer '{name}'", "ceil_mode and count_include_pad=False with padding are not NIR's", "Use the defaults"
        )
    builder.rewrites.append(Rewrite(name, f"the mean of {kernel} as a depth-wise Conv1d", "one rounding of 1 / kernel"))
    return builder.add(name, _depth_wise(signal.shape, 1 / kernel, kernel, stride, padding), signal, shape)


@converts(nn.AdaptiveAvgPool1d)
def adaptive_pool_1d(builder: Builder, name: str, layer: nn.AdaptiveAvgPool1d, signal: Signal, shape: Shape) -> Signal:
    """A mean over windows of one size, where the output divides the input."""
    kernel = _window(name, signal.shape, shape)[0]
    builder.rewrites.append(
        Rewrite(name, f"adaptive pooling as the mean of {kernel}: a depth-wise Conv1d", "one rounding of 1 / kernel")
    )
    return builder.add(name, _depth_wise(signal.shape, 1 / kernel, kernel, kernel, 0), signal, shape)


def _depth_wise(shape: Shape, value: float, kernel: int, stride: int, padding: int) -> nir.Conv1d:
    channels, length = shape
    return nir.Conv1d(
        input_shape=length,
        weight=np.full((channels, 1, kernel), value),
        stride=stride,
        padding=padding,
        dilation=1,
        groups=channels,
        bias=np.zeros(channels),
    )


@converts(nn.AdaptiveAvgPool2d)
def adaptive_pool(builder: Builder, name: str, layer: nn.AdaptiveAvgPool2d, signal: Signal, shape: Shape) -> Signal:
    """An AvgPool2d where the output divides the input."""
    kernel = np.array(_window(name, signal.shape, shape))
    builder.rewrites.append(Rewrite(name, f"adaptive pooling as AvgPool2d{tuple(kernel.tolist())}"))
    return builder.add(name, nir.AvgPool2d(kernel_size=kernel, stride=kernel, padding=np.zeros(2, int)), signal, shape)


def _window(name: str, before: Shape, after: Shape) -> list[int]:
    """Return the sides of adaptive pooling's windows, which must be all alike."""
    sides = list(zip(before[1:], after[1:], strict=True))
    if any(n % out for n, out in sides):
        raise UnfaithfulError(
            f"layer '{name}'", f"it pools {before} to {after} with windows of several sizes", "Choose a divisor"
        )
    return [n // out for n, out in sides]


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
    flat = isinstance(layer, nn.MaxPool1d)
    if not is_plain(layer):
        raise UnfaithfulError(f"layer '{name}'", "ceil_mode, dilation and return_indices are not NIR's", "Drop them")
    sizes = (layer.kernel_size, layer.stride, layer.padding)
    if flat:
        node: nir.NIRNode = _depth_wise(signal.shape, 1.0, *(single(v) for v in sizes))
    else:
        kernel, stride, padding = (np.array(pair(v)) for v in sizes)
        node = nir.SumPool2d(kernel_size=kernel, stride=stride, padding=padding)
    sums = builder.add(builder.name(f"{name}_sum"), node, signal, shape)
    builder.taps[name] = Tap(builder.call)
    builder.rewrites.append(Rewrite(name, f"the maximum of spikes as {type(node).__name__} -> Threshold(1/2)"))
    return builder.add(name, nir.Threshold(threshold=np.full(shape, 0.5)), sums)


def is_plain(layer: nn.MaxPool1d | nn.MaxPool2d) -> bool:
    """Return whether a pooling has no setting that NIR's has not."""
    dilation = {layer.dilation} if isinstance(layer.dilation, int) else {*layer.dilation}
    return not layer.ceil_mode and not layer.return_indices and dilation == {1}


def single(value: int | tuple[int, ...]) -> int:
    """Return a torch size along one dimension."""
    return value if isinstance(value, int) else value[0]
