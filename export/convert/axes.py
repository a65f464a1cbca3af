"""Linear maps along the axes of a signal, which slices, padding, resizing and pooling are.

NIR has no node for them, but nodes that are them. Along the last axis a matrix is a Linear, along the channels a
convolution of 1 by 1, and where it only shifts, drops or pads, a depth-wise convolution of one weight. Along any other
axis it takes two convolutions, since neither moves two rows differently: the first gathers the axis into channels,

    z[(c, i), 0] = sum over j of M[i, j] x[c, j]

and the second, as wide as the result, puts every channel in its place: `y[c, i] = z[(c, i), 0]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt, prod

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Builder, Signal
from spikeport.export.shapes import Shape, output_shape

Matrix = NDArray[np.floating]

MAX_WEIGHTS = 1 << 24
MAX_PRODUCTS = 1 << 26
"""Bounds of one node that stands for a map: stored weights, and products in a step."""


def map_axes(builder: Builder, name: str, signal: Signal, matrices: Mapping[int, Matrix]) -> Signal:
    """Return `signal` with a matrix [size after, size before] applied along each axis, counted without the batch.

    Raises:
        UnfaithfulError: it is too large, or stands on an inner axis of more than an image.
    """
    wanted = {axis: m for axis, m in matrices.items() if not _is_identity(m)}
    rank = len(signal.shape)
    if rank > 3 and wanted.keys() - {rank - 1}:
        reason = f"it works inside of a value of {rank} dimensions, where NIR has images at most"
        raise UnfaithfulError(f"'{name}'", reason, "Keep it to (features), (channels, length) or (channels, y, x)")
    shifts = {axis: found for axis, m in wanted.items() if rank in (2, 3) and axis and (found := _shift(m))}
    if shifts:
        signal = _shifted(builder, name, signal, {axis: (*found, len(wanted[axis])) for axis, found in shifts.items()})
    rest = {axis: m for axis, m in wanted.items() if axis not in shifts}
    for axis, m in sorted(rest.items(), key=lambda item: len(item[1]) / item[1].shape[1]):
        signal = _along(builder, name, signal, axis, m)
    return signal


def gather_and_place(
    builder: Builder, name: str, signal: Signal, axis: int, maps_OMCN: Matrix, groups: int = 1
) -> Signal:
    """Return `y[(g, o), m] = sum over c, n of maps[o, m, c, n] x[(g, c), n]` along a spatial `axis`."""
    made, size, given, n = maps_OMCN.shape
    kernel = _spatial(signal.shape, {axis: n})
    weight = np.tile(_least(maps_OMCN).reshape(made * size, given, *kernel), (groups, *(1,) * (1 + len(kernel))))
    signal = convolve(builder, name, signal, weight, groups=groups)
    outer = next(k for k in range(isqrt(size), 0, -1) if size % k == 0)
    signal = _place(builder, name, signal, axis, groups * made * outer, size // outer, 1)
    return _place(builder, name, signal, axis, groups * made, outer, size // outer)


def convolve(
    builder: Builder,
    name: str,
    signal: Signal,
    weight: Matrix,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int = 0,
    dilation: Sequence[int] | int = 1,
    groups: int = 1,
    bias: Matrix | None = None,
) -> Signal:
    """Add a Conv1d or Conv2d whose settings are one number an axis."""
    flat = len(signal.shape) == 2

    def setting(value: Sequence[int] | int) -> int | tuple[int, ...]:
        values = (value,) * (weight.ndim - 2) if isinstance(value, int) else tuple(value)
        return values[0] if flat else values

    node = (nir.Conv1d if flat else nir.Conv2d)(
        input_shape=signal.shape[1] if flat else signal.shape[1:],
        weight=weight,
        stride=setting(stride),
        padding=setting(padding),
        dilation=setting(dilation),
        groups=groups,
        bias=np.zeros(len(weight), weight.dtype) if bias is None else bias,
    )
    return add_sized(builder, name, node, signal)


def add_sized(builder: Builder, name: str, node: nir.NIRNode, signal: Signal) -> Signal:
    """Add a node that stands for a map, under a free name.

    Raises:
        UnfaithfulError: it is larger than the map is worth.
    """
    weights = int(np.size(node.weight))
    shape = output_shape(name, node, signal.shape)
    products = prod(shape) * int(prod(node.weight.shape[1:]))
    if weights > MAX_WEIGHTS or products > MAX_PRODUCTS:
        raise UnfaithfulError(
            f"'{name}'",
            f"as a NIR node on {signal.shape} it takes {weights} weights and {products} products a step, "
            f"more than {MAX_WEIGHTS} and {MAX_PRODUCTS}",
            "Use it on a smaller value, or a layer with weights in its place",
        )
    return builder.add(builder.name(name), node, signal, shape)


def selection(name: str, places: NDArray[np.integer], size: int) -> Matrix:
    """Return the matrix [places, size] that takes the elements at `places` of an axis."""
    if len(places) * size > MAX_WEIGHTS:
        reason = f"it takes {len(places)} of {size} elements by a matrix, of more than {MAX_WEIGHTS} weights"
        raise UnfaithfulError(f"'{name}'", reason, "Use it on a smaller value")
    matrix = np.zeros((len(places), size), np.float32)
    matrix[np.arange(len(places)), places] = 1
    return matrix


def _is_identity(matrix: Matrix) -> bool:
    return matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))


def _shift(matrix: Matrix) -> tuple[int, int] | None:
    """Return (stride, offset) of `y[i] = x[stride i + offset]`, 0 outside; `None` where the matrix is another."""
    rows, columns = np.nonzero(matrix)
    if not len(rows) or np.any(matrix[rows, columns] != 1) or np.any(np.diff(rows) != 1):
        return None
    steps = {*np.diff(columns).tolist()} or {1}
    if len(steps) > 1 or min(steps) < 1:
        return None
    (stride,) = steps
    offset = int(columns[0] - stride * rows[0])
    reached = stride * np.arange(len(matrix)) + offset
    inside = np.flatnonzero((reached >= 0) & (reached < matrix.shape[1]))
    return (stride, offset) if np.array_equal(inside, rows) else None


def _shifted(builder: Builder, name: str, signal: Signal, shifts: Mapping[int, tuple[int, int, int]]) -> Signal:
    """Add a depth-wise convolution of `y[i] = x[stride i + offset]`, i < size, along each axis."""
    channels, *sides = signal.shape
    strides, paddings, kernels, places = [], [], [], []
    for axis, n in enumerate(sides, start=1):
        stride, offset, size = shifts.get(axis, (1, 0, n))
        last = stride * (size - 1) + offset
        padding = max(0, -offset, last + 1 - n)
        strides.append(stride)
        paddings.append(padding)
        kernels.append(n + 2 * padding - stride * (size - 1))
        places.append(offset + padding)
    weight = np.zeros((channels, prod(kernels)), np.float32)
    weight[:, np.ravel_multi_index(places, kernels)] = 1
    weight = weight.reshape(channels, 1, *kernels)
    return convolve(builder, name, signal, weight, strides, paddings, groups=channels)


def _along(builder: Builder, name: str, signal: Signal, axis: int, matrix: Matrix) -> Signal:
    matrix = _least(matrix)
    if axis == len(signal.shape) - 1:
        return add_sized(builder, name, nir.Linear(matrix), signal)
    if axis == 0:
        return convolve(builder, name, signal, matrix.reshape(*matrix.shape, *_spatial(signal.shape, {})))
    return gather_and_place(builder, name, signal, axis, matrix[None, :, None, :], groups=signal.shape[0])


def _place(builder: Builder, name: str, signal: Signal, axis: int, channels: int, size: int, apart: int) -> Signal:
    """Put channel (c, k) of `size` k at k `apart` along the axis: `y[c, k apart + i] = x[(c, k), i]`."""
    if size == 1:
        return signal
    kernel = _spatial(signal.shape, {axis: size})
    weight = np.tile(
        np.eye(size, dtype=np.float32)[:, ::-1].reshape(1, size, *kernel), (channels, 1, *(1,) * len(kernel))
    )
    padding, dilation = _spatial(signal.shape, {axis: (size - 1) * apart}, 0), _spatial(signal.shape, {axis: apart})
    return convolve(builder, name, signal, weight, 1, padding, dilation, groups=channels)


def _spatial(shape: Shape, values: Mapping[int, int], other: int = 1) -> tuple[int, ...]:
    """Return one number a spatial axis: those of `values`, else `other`."""
    return tuple(values.get(axis, other) for axis in range(1, len(shape)))


def _least(matrix: Matrix) -> Matrix:
    """Return a matrix in float32 where that keeps its values, and in float64 else."""
    short = matrix.astype(np.float32)
    return short if np.array_equal(short, matrix) else matrix.astype(np.float64)
