"""Stateless NIR nodes as sparse matrices over flattened tensors: `y = W x + b`.

Tensors are flattened in C order, so `Flatten` is the identity. A convolution is unrolled: one row for each
output element, its synapses in it; padding has no synapse.
"""

from __future__ import annotations

from math import prod

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array, kron

from spikeport.export.shapes import Pads, Shape, conv_geometry, pair

Array = NDArray[np.float64]


def synapses(node: nir.NIRNode, shape_out: Shape) -> int:
    """Return an upper bound of the synapses that unrolling `node` makes; a weight of 0 makes none."""
    if isinstance(node, nir.Affine | nir.Linear):
        return prod(shape_out[:-1]) * int(np.count_nonzero(node.weight))
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return prod(shape_out[1:]) * int(np.count_nonzero(node.weight))
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return prod(shape_out) * prod(pair(node.kernel_size))
    return prod(shape_out)


def matrix(node: nir.NIRNode, shape_in: Shape, shape_out: Shape) -> tuple[csr_array, Array]:
    """Return W [prod(shape_out), prod(shape_in)] and b [prod(shape_out)] of the stateless `node`."""
    size = prod(shape_out)
    if isinstance(node, nir.Affine | nir.Linear):
        lead = prod(shape_out[:-1])
        weight = csr_array(np.asarray(node.weight, dtype=np.float64))
        bias = np.asarray(getattr(node, "bias", 0.0), dtype=np.float64)
        return _compact(kron(eye_array(lead), weight)), np.broadcast_to(bias, shape_out).ravel()
    if isinstance(node, nir.Scale):
        scale = np.broadcast_to(np.asarray(node.scale, dtype=np.float64), shape_out).ravel()
        return _compact(diags_array(scale)), np.zeros(size)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(node, shape_in, shape_out)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return _pool(node, shape_in, shape_out), np.zeros(size)
    return _compact(eye_array(size)), np.zeros(size)


def _compact(weight: object) -> csr_array:
    compact = csr_array(weight, dtype=np.float64)
    compact.eliminate_zeros()
    compact.sort_indices()
    return compact


def _convolution(node: nir.Conv1d | nir.Conv2d, shape_in: Shape, shape_out: Shape) -> tuple[csr_array, Array]:
    weight = np.asarray(node.weight, dtype=np.float64)
    if isinstance(node, nir.Conv1d):
        weight = weight[:, :, None, :]
    stride, dilation, pads = conv_geometry(node)
    plane = prod(shape_out[1:])
    bias = np.repeat(np.asarray(node.bias, dtype=np.float64), plane)
    return unroll(weight, int(node.groups), stride, dilation, pads, _image(shape_in), _image(shape_out)), bias


def _image(shape: Shape) -> tuple[int, int, int]:
    """Return (C, H, W); one-dimensional data has height 1."""
    return (shape[0], 1 if len(shape) == 2 else shape[1], shape[-1])


def _pool(node: nir.SumPool2d | nir.AvgPool2d, shape_in: Shape, shape_out: Shape) -> csr_array:
    kernel, stride, (pad_h, pad_w) = pair(node.kernel_size), pair(node.stride), pair(node.padding)
    value = 1.0 / prod(kernel) if isinstance(node, nir.AvgPool2d) else 1.0
    weight = np.full((shape_in[0], 1, *kernel), value)
    pads = ((pad_h, pad_h), (pad_w, pad_w))
    return unroll(weight, shape_in[0], stride, (1, 1), pads, _image(shape_in), _image(shape_out))


def unroll(
    weight_OCHW: Array,
    groups: int,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    pads: Pads,
    image_in: tuple[int, int, int],
    image_out: tuple[int, int, int],
) -> csr_array:
    """Return the matrix of `y[o, p] = sum over c, k of w[o, c, k] x[c, stride p + dilation k - padding]`.

    Args:
        weight_OCHW: kernels [C_out, C_in / groups, height, width], not flipped.
        groups: output channels of one group see only that group's input channels.
        stride: height, width.
        dilation: height, width.
        pads: (before, after) for height and width; padded elements have no synapse.
        image_in: (C, H, W).
        image_out: (C, H, W).
    """
    channels_out, per_group = weight_OCHW.shape[:2]
    o, c, i, j = (index[:, None, None] for index in np.nonzero(weight_OCHW))
    y, x = np.ogrid[: image_out[1], : image_out[2]]
    row_in = y * stride[0] + i * dilation[0] - pads[0][0]
    column_in = x * stride[1] + j * dilation[1] - pads[1][0]
    inside = (row_in >= 0) & (row_in < image_in[1]) & (column_in >= 0) & (column_in < image_in[2])
    channel_in = o // (channels_out // groups) * per_group + c
    rows = ((o * image_out[1] + y) * image_out[2] + x)[inside]
    columns = ((channel_in * image_in[1] + row_in) * image_in[2] + column_in)[inside]
    values = np.broadcast_to(weight_OCHW[o, c, i, j], inside.shape)[inside]
    return _compact(csr_array((values, (rows, columns)), shape=(prod(image_out), prod(image_in))))
