"""A constant added to a signal: `x + 0.5`, `1 - spk`, `x + self.offset`.

It goes into the bias of the layer before, which is exact in real arithmetic; where that layer has no bias that is
free, one node has it: a diagonal Affine, or a depth-wise convolution of 1 by 1.
"""

from __future__ import annotations

from math import prod

import nir
import numpy as np

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.axes import MAX_WEIGHTS, add_sized, convolve, gather_and_place
from spikeport.export.convert.builder import Array, Builder, Rewrite, Signal, without_batch
from spikeport.export.convert.layers import channelwise, foldable, folded


def shifted_by(builder: Builder, name: str, signal: Signal, constant: Array, gain: float = 1.0) -> Signal:
    """Return `gain x + constant`, the constant broadcast as torch does.

    Raises:
        UnfaithfulError: it does not fit, or is of a form too large for NIR.
    """
    shape = signal.shape
    try:
        value = np.broadcast_to(without_batch(constant, shape), shape)
    except ValueError:
        raise UnfaithfulError(
            f"'{name}'", f"a constant of shape {constant.shape} does not fit {shape}", "Drop its batch axis"
        ) from None
    per_channel = value.reshape(shape[0], -1)
    if np.any(per_channel != per_channel[:, :1]):
        return _everywhere(builder, name, signal, value, gain)
    shift, gains = per_channel[:, 0].astype(np.float64), np.full(shape[0], float(gain))
    source = signal.sources[0]
    if len(signal.sources) == 1 and foldable(builder, source, shape):
        builder.nodes[source] = folded(builder.nodes[source], gains, shift)
        builder.rewrites.append(Rewrite(name, f"a constant folded into the bias of '{source}'"))
        return signal
    if len(shape) > 3 or (len(shape) == 1 and shape[0] ** 2 > MAX_WEIGHTS):
        raise UnfaithfulError(
            f"'{name}'", f"a constant on {shape} has no small NIR node", "Put the constant into the bias of a layer"
        )
    node = channelwise(shape, gains, shift)
    builder.rewrites.append(Rewrite(name, f"a constant as the bias of a node of its own: {type(node).__name__}"))
    return builder.add(builder.name(name), node, signal, shape)


def _everywhere(builder: Builder, name: str, signal: Signal, value: Array, gain: float) -> Signal:
    """Add a constant that differs along the axes behind the channels."""
    shape = signal.shape
    builder.rewrites.append(Rewrite(name, "a constant for every place as biases of nodes of its own"))
    if np.all(value == value[(0,) * (len(shape) - 1)]):
        return add_sized(builder, name, nir.Affine(gain * np.eye(shape[-1]), value.reshape(-1, shape[-1])[0]), signal)
    if len(shape) > 3:
        raise UnfaithfulError(f"'{name}'", f"a constant on {shape} has no NIR node", "Put it into the bias of a layer")
    constant = _constant(builder, name, signal, value)
    if gain != 1:
        signal = builder.add(builder.name(name), nir.Scale(scale=np.full(shape, gain)), signal)
    return signal + constant


def _constant(builder: Builder, name: str, signal: Signal, value: Array) -> Signal:
    """Return `value`, whatever the signal is: biases behind weights of 0, put in their places axis after axis."""
    channels, *sides = signal.shape
    size = prod(sides)
    silent = np.zeros((channels * size, 1, *sides), np.float32)
    one = convolve(builder, f"{name}_constant", signal, silent, groups=channels, bias=value.ravel().astype(np.float64))
    for axis in range(len(sides), 0, -1):
        # Channels (c, y, x) -> (c, y) along x, then -> c along y.
        side = sides[axis - 1]
        maps = np.eye(side).reshape(1, side, side, 1)
        size //= side
        one = gather_and_place(builder, f"{name}_constant", one, axis, maps, groups=channels * size)
    return one
