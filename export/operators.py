"""The stateless NIR operators as plain float64 functions.

Shapes: `x_BN` batch first, then the node's shape `(N,)` or `(C, H, W)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import nir
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spikeport.export.shapes import Pads, conv_geometry, pair

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


@dataclass(frozen=True)
class Operator:
    """An affine map `y = W x + b`.

    Attributes:
        apply: x_BN -> y_BM.
        magnitude: |x|_BN -> |W| |x| + |b|, the scale that rounding errors are relative to.
        gain: e_BN -> |W| e, how far an input error reaches.
        terms: the most products that are summed into one output.
    """

    apply: Function
    magnitude: Function
    gain: Function
    terms: int


def operator(node: nir.NIRNode) -> Operator:
    """Return the map that the stateless `node` computes."""
    if isinstance(node, nir.Affine | nir.Linear):
        return _affine(node)
    if isinstance(node, nir.Scale):
        scale = np.asarray(node.scale, dtype=np.float64)
        size = partial(_scale, np.abs(scale))
        return Operator(partial(_scale, scale), size, size, terms=1)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(node)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return _pool(node)
    if isinstance(node, nir.Flatten):
        return _wire(partial(_flatten, int(node.start_dim), int(node.end_dim)))
    return _wire(_identity)


def _wire(apply: Function) -> Operator:
    return Operator(apply, apply, apply, terms=0)


def _identity(x_BN: Array) -> Array:
    return x_BN


def _scale(scale: Array, x_BN: Array) -> Array:
    return x_BN * scale


def _flatten(start: int, end: int, x_BN: Array) -> Array:
    """Merge dimensions `start` to `end`, counted without the batch."""
    rank = x_BN.ndim - 1
    first, last = start % rank + 1, end % rank + 1
    return x_BN.reshape(*x_BN.shape[:first], -1, *x_BN.shape[last + 1 :])


def _affine(node: nir.Affine | nir.Linear) -> Operator:
    weight = np.asarray(node.weight, dtype=np.float64)
    bias = np.asarray(getattr(node, "bias", 0.0), dtype=np.float64)
    return Operator(
        lambda x_BN: x_BN @ weight.T + bias,
        lambda x_BN: x_BN @ np.abs(weight).T + np.abs(bias),
        lambda x_BN: x_BN @ np.abs(weight).T,
        terms=_terms(weight),
    )


def _terms(weight: Array) -> int:
    """Return the most products in one output, the bias one of them; a weight of 0 adds nothing, nor an error."""
    return int(np.count_nonzero(weight.reshape(len(weight), -1), axis=1).max(initial=0)) + 1


@dataclass(frozen=True)
class _Convolution:
    """`y[o, p] = b[o] + sum over c, k of w[o, c, k] x[c, stride p + dilation k - padding]`."""

    weight_OCHW: Array
    bias_O: Array
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: Pads
    groups: int
    flat: bool

    def __call__(self, x_BCHW: Array) -> Array:
        if self.flat:
            x_BCHW = x_BCHW[:, :, None, :]
        x_BCHW = np.pad(x_BCHW, ((0, 0), (0, 0), *self.pads))
        kernel = self.weight_OCHW.shape[2:]
        extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, self.dilation, strict=True))
        windows = sliding_window_view(x_BCHW, extent, axis=(2, 3))
        windows = windows[:, :, :: self.stride[0], :: self.stride[1], :: self.dilation[0], :: self.dilation[1]]
        parts = zip(np.split(windows, self.groups, axis=1), np.split(self.weight_OCHW, self.groups), strict=True)
        y_BHWO = np.concatenate([np.tensordot(x, w, axes=([1, 4, 5], [1, 2, 3])) for x, w in parts], axis=-1)
        y_BOHW = np.ascontiguousarray(np.moveaxis(y_BHWO + self.bias_O, -1, 1))
        return y_BOHW[:, :, 0] if self.flat else y_BOHW


def _convolution(node: nir.Conv1d | nir.Conv2d) -> Operator:
    weight = np.asarray(node.weight, dtype=np.float64)
    flat = isinstance(node, nir.Conv1d)
    stride, dilation, pads = conv_geometry(node)
    conv = _Convolution(
        weight[:, :, None, :] if flat else weight,
        np.asarray(node.bias, dtype=np.float64),
        stride,
        dilation,
        pads,
        int(node.groups),
        flat,
    )
    size = replace(conv, weight_OCHW=np.abs(conv.weight_OCHW), bias_O=np.abs(conv.bias_O))
    gain = replace(size, bias_O=np.zeros_like(conv.bias_O))
    return Operator(conv, size, gain, terms=_terms(weight))


def _pool(node: nir.SumPool2d | nir.AvgPool2d) -> Operator:
    kernel, stride, (pad_h, pad_w) = pair(node.kernel_size), pair(node.stride), pair(node.padding)
    divisor = prod(kernel) if isinstance(node, nir.AvgPool2d) else 1

    def apply(x_BCHW: Array) -> Array:
        """Sum (or mean, zero padding included as torch does) over each window."""
        padded = np.pad(x_BCHW, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)))
        windows = sliding_window_view(padded, kernel, axis=(2, 3))
        total: Array = windows[:, :, :: stride[0], :: stride[1]].sum(axis=(-2, -1)) / divisor
        return total

    return Operator(apply, apply, apply, terms=prod(kernel))
