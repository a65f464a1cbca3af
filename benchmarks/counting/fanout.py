"""Fan-out maps: how many synapses each input element of a weighted node drives.

The map is the adjoint of the node's structure applied to ones: a convolution's element at a border, or
between strides, reaches fewer outputs than `O k^2 / groups`. The inner product of a map with event counts
is the exact number of synaptic operations, and its sum is the dense, border-exact number of MACs.

Shape suffixes: O outputs, C inputs (per group: G), H, W image sides, K, L kernel sides.
"""

from __future__ import annotations

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.export.shapes import Pads, Shape, conv_geometry

Counts = NDArray[np.int64]

WEIGHTED = (nir.Affine, nir.Linear, nir.Conv1d, nir.Conv2d, nir.Scale)


def fan_out(node: nir.NIRNode, shape: Shape, nonzero_only: bool = False) -> Counts:
    """Return the number of synapses that each element of the input of `shape` drives.

    Args:
        node: one of `WEIGHTED`.
        shape: the node's input shape, without time and batch.
        nonzero_only: leave out synapses whose weight is exactly 0. They exist on a chip that stores the
            layer densely and do not on one that stores it sparsely.
    """
    assert isinstance(node, WEIGHTED), f"{type(node).__name__} has no weights"
    if isinstance(node, nir.Scale):
        scale = np.broadcast_to(np.asarray(node.scale), shape)
        return _present(scale, nonzero_only)
    weight = np.asarray(node.weight)
    present = _present(weight, nonzero_only)
    if isinstance(node, nir.Affine | nir.Linear):
        return np.broadcast_to(present.sum(axis=0), shape)
    stride, dilation, pads = conv_geometry(node)
    if isinstance(node, nir.Conv2d):
        return conv_fan_out(present, shape, stride, dilation, pads, int(node.groups))
    flat = conv_fan_out(present[:, :, None, :], (shape[0], 1, shape[1]), stride, dilation, pads, int(node.groups))
    return flat[:, 0]


def _present(weight: NDArray[np.generic], nonzero_only: bool) -> Counts:
    return (weight != 0).astype(np.int64) if nonzero_only else np.ones(weight.shape, dtype=np.int64)


def conv_fan_out(
    present_OGKL: Counts, shape: Shape, stride: tuple[int, int], dilation: tuple[int, int], pads: Pads, groups: int
) -> Counts:
    """Return the fan-out map of a 2-d convolution.

    Tap (k, l) of input channel c carries the element at (y, x) to every output channel that has the tap,
    if the output position that it would come from is on the grid:
    `fan[c, y, x] = sum_kl taps[c, k, l] rows[k, y] cols[l, x]`.

    Args:
        present_OGKL: 1 where a synapse is counted.
        shape: the input's (C, H, W).
        stride: (height, width).
        dilation: (height, width).
        pads: (before, after) of height and width.
        groups: channel groups.
    """
    by_group = np.split(present_OGKL, groups)
    taps_CKL = np.concatenate([part.sum(axis=0) for part in by_group])
    kernel = present_OGKL.shape[2:]
    rows_KH = _reach(shape[1], kernel[0], stride[0], dilation[0], pads[0])
    cols_LW = _reach(shape[2], kernel[1], stride[1], dilation[1], pads[1])
    fan_CHW: Counts = np.einsum("ckl,kh,lw->chw", taps_CKL, rows_KH, cols_LW)
    return fan_CHW


def _reach(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> Counts:
    """Return [kernel, size]: 1 where the tap reads that input position for some output position."""
    outputs = (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1
    reach = np.zeros((kernel, size), dtype=np.int64)
    for tap in range(kernel):
        read = stride * np.arange(outputs) + dilation * tap - pads[0]
        reach[tap, read[(read >= 0) & (read < size)]] = 1
    return reach
