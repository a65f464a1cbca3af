"""Converters of pooling beyond AvgPool2d: adaptive pooling, and maximum pooling of spikes."""

from __future__ import annotations

import nir
import numpy as np
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Builder, Rewrite, Signal, Tap
from spikeport.export.convert.layers import converts, pair
from spikeport.export.graph import SPIKING
from spikeport.export.shapes import Shape


@converts(nn.AdaptiveAvgPool2d)
def adaptive_pool(builder: Builder, name: str, layer: nn.AdaptiveAvgPool2d, signal: Signal, shape: Shape) -> Signal:
    """An AvgPool2d where the output divides the input."""
    sides = list(zip(signal.shape[1:], shape[1:], strict=True))
    if any(n % out for n, out in sides):
        raise UnfaithfulError(
            f"layer '{name}'", f"it pools {signal.shape} to {shape} with windows of several sizes", "Choose a divisor"
        )
    kernel = np.array([n // out for n, out in sides])
    builder.rewrites.append(Rewrite(name, f"adaptive pooling as AvgPool2d{tuple(kernel.tolist())}"))
    return builder.add(name, nir.AvgPool2d(kernel_size=kernel, stride=kernel, padding=np.zeros(2, int)), signal, shape)


@converts(nn.MaxPool2d)
def max_pool_of_spikes(builder: Builder, name: str, layer: nn.MaxPool2d, signal: Signal, shape: Shape) -> Signal:
    """The maximum of spikes is 1 where their sum exceeds 1/2: SumPool2d -> Threshold."""
    (source, *others) = signal.sources
    if others or not isinstance(builder.nodes[source], SPIKING):
        raise UnfaithfulError(
            f"layer '{name}'",
            "the maximum of values that are no spikes has no NIR node",
            "Pool the spikes behind the neuron, or use AvgPool2d or a strided convolution",
        )
    if layer.ceil_mode or pair(layer.dilation) != (1, 1) or layer.return_indices:
        raise UnfaithfulError(f"layer '{name}'", "ceil_mode, dilation and return_indices are not NIR's", "Drop them")
    kernel, stride, padding = (np.array(pair(v)) for v in (layer.kernel_size, layer.stride, layer.padding))
    node = nir.SumPool2d(kernel_size=kernel, stride=stride, padding=padding)
    sums = builder.add(builder.name(f"{name}_sum"), node, signal, shape)
    builder.taps[name] = Tap(builder.call)
    builder.rewrites.append(Rewrite(name, "the maximum of spikes as SumPool2d -> Threshold(1/2)"))
    return builder.add(name, nir.Threshold(threshold=np.full(shape, 0.5)), sums)
