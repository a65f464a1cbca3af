"""The stateless NIR nodes as ONNX operators.

onnxruntime convolves and pools in float32 only; in float64 both are a matrix product over shifted slices.
"""

from __future__ import annotations

from math import prod

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.export.onnx.writer import Writer
from spikeport.export.shapes import Pads, Shape, conv_geometry, pair

Array = NDArray[np.float64]
Pair = tuple[int, int]


def stateless(writer: Writer, node: nir.NIRNode, x: str, before: Shape, after: Shape) -> str:
    """Add what the stateless `node` makes of `x`, whose shape is `before`; its result's is `after`."""
    if isinstance(node, nir.Affine | nir.Linear):
        y = writer.op("MatMul", x, writer.number(node.weight.T))
        return writer.op("Add", y, writer.number(node.bias)) if isinstance(node, nir.Affine) else y
    if isinstance(node, nir.Scale):
        return writer.scaled(x, node.scale)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(writer, node, x, before, after)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return _pool(writer, node, x, after)
    if isinstance(node, nir.Flatten):
        return writer.reshape(x, *after)
    return x


def _convolution(writer: Writer, node: nir.Conv1d | nir.Conv2d, x: str, before: Shape, after: Shape) -> str:
    """A Conv1d is a Conv2d of height 1."""
    flat = isinstance(node, nir.Conv1d)
    weight = np.asarray(node.weight)
    bias = np.asarray(node.bias)
    stride, dilation, pads = conv_geometry(node)
    if flat:
        x, weight = writer.reshape(x, before[0], 1, before[1]), weight[:, :, None]
    size: Shape = (after[0], 1, after[1]) if flat else after
    y = _correlate(writer, x, weight, bias, stride, dilation, pads, int(node.groups), size)
    return writer.reshape(y, *after) if flat else y


def _pool(writer: Writer, node: nir.SumPool2d | nir.AvgPool2d, x: str, after: Shape) -> str:
    kernel, stride, (pad_h, pad_w) = pair(node.kernel_size), pair(node.stride), pair(node.padding)
    mean = isinstance(node, nir.AvgPool2d)
    if mean and writer.dtype == np.float32 and pad_h < kernel[0] and pad_w < kernel[1]:
        pads = [pad_h, pad_w, pad_h, pad_w]
        return writer.op("AveragePool", x, kernel_shape=kernel, strides=stride, pads=pads, count_include_pad=1)
    channels = after[0]
    ones = np.full((channels, 1, *kernel), 1 / prod(kernel) if mean else 1.0)
    around: Pads = ((pad_h, pad_h), (pad_w, pad_w))
    return _correlate(writer, x, ones, np.zeros(channels), stride, (1, 1), around, channels, after)


def _correlate(
    writer: Writer,
    x: str,
    weight_OCHW: np.ndarray,
    bias_O: np.ndarray,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    groups: int,
    after: Shape,
) -> str:
    """`y[o, p] = b[o] + sum over c, k of w[o, c, k] x[c, stride p + dilation k - padding]`."""
    if writer.dtype == np.float32:
        (top, bottom), (left, right) = pads
        operands = [x, writer.number(weight_OCHW), *([writer.number(bias_O)] if np.any(bias_O) else [])]
        edges = [top, left, bottom, right]
        return writer.op("Conv", *operands, strides=stride, dilations=dilation, pads=edges, group=groups)
    y = _unfolded(writer, x, weight_OCHW, stride, dilation, pads, groups, after)
    return writer.op("Add", y, writer.number(bias_O[:, None, None])) if np.any(bias_O) else y


def _unfolded(
    writer: Writer,
    x: str,
    weight_OCHW: np.ndarray,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    groups: int,
    after: Shape,
) -> str:
    """One slice a kernel element, [B, C, K, H, W] all together, times the weights as a matrix a group."""
    (top, bottom), (left, right) = pads
    padded = writer.op("Pad", x, writer.sizes(0, 0, top, left, 0, 0, bottom, right))
    outputs, channels, *kernel = weight_OCHW.shape
    axes, steps = writer.sizes(2, 3), writer.sizes(*stride)
    slices = []
    for at in np.ndindex(*kernel):
        first = [k * d for k, d in zip(at, dilation, strict=True)]
        last = [f + (n - 1) * s + 1 for f, n, s in zip(first, after[1:], stride, strict=True)]
        part = writer.op("Slice", padded, writer.sizes(*first), writer.sizes(*last), axes, steps)
        slices.append(writer.op("Unsqueeze", part, writer.sizes(2)))
    columns = writer.op("Concat", *slices, axis=2)
    rows = channels * prod(kernel)
    matrix = writer.number(weight_OCHW.reshape(groups, outputs // groups, rows))
    product = writer.op("MatMul", matrix, writer.reshape(columns, groups, rows, prod(after[1:])))
    return writer.reshape(product, *after)
