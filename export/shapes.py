"""Output shapes of NIR nodes, computed here because nir 1.0.8 errs on grouped and non-square convolutions.

Shapes are without time and batch: `(N,)` or `(C, H, W)`.
"""

from __future__ import annotations

from math import prod

import nir
import numpy as np
from numpy.typing import ArrayLike

from spikeport.errors import UnfaithfulError

Shape = tuple[int, ...]

MAX_ELEMENTS = 1 << 28
# Padding may multiply what it surrounds; beyond this it is no network but an attack on memory.
PADDING_FACTOR, PADDING_FREE = 64, 1 << 20
Pads = tuple[tuple[int, int], tuple[int, int]]


def as_shape(value: ArrayLike) -> Shape:
    """Return `value` (a shape as nir stores it) as a tuple of ints."""
    return tuple(int(n) for n in np.atleast_1d(np.asarray(value)))


def pair(value: ArrayLike) -> tuple[int, int]:
    """Return a kernel size, stride or dilation as `(height, width)`."""
    flat = np.atleast_1d(np.asarray(value)).ravel()
    return (int(flat[0]), int(flat[-1]))


def conv_geometry(node: nir.Conv1d | nir.Conv2d) -> tuple[tuple[int, int], tuple[int, int], Pads]:
    """Return stride, dilation and padding (before, after) of a convolution, height first.

    A 1-d convolution is a 2-d one of height 1.
    """
    flat = isinstance(node, nir.Conv1d)
    stride = (1, pair(node.stride)[1]) if flat else pair(node.stride)
    dilation = (1, pair(node.dilation)[1]) if flat else pair(node.dilation)
    kernel = (1, node.weight.shape[2]) if flat else node.weight.shape[2:]
    padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
    if isinstance(padding, str):
        pads = _named_padding(padding, kernel, dilation, stride)
    else:
        h, w = (0, pair(padding)[1]) if flat else pair(padding)
        pads = ((h, h), (w, w))
    return stride, dilation, pads


def _named_padding(name: str, kernel: tuple[int, int], dilation: tuple[int, int], stride: tuple[int, int]) -> Pads:
    if name == "valid":
        return ((0, 0), (0, 0))
    if name != "same" or stride != (1, 1):
        raise UnfaithfulError(
            f"padding '{name}' with stride {stride}", "it is not defined", "Give the padding as numbers"
        )
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return ((total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2))


def output_shape(name: str, node: nir.NIRNode, shape: Shape) -> Shape:
    """Return the output shape of `node` for an input of `shape`.

    Raises:
        UnfaithfulError: the input does not fit the node.
    """
    if isinstance(node, nir.Affine | nir.Linear):
        _require(name, shape[-1:] == node.weight.shape[-1:], shape, f"(..., {node.weight.shape[-1]})")
        return (*shape[:-1], int(node.weight.shape[0]))
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _conv_shape(name, node, shape)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        _require(name, len(shape) == 3, shape, "(C, H, W)")
        kernel, stride, pad = pair(node.kernel_size), pair(node.stride), pair(node.padding)
        size = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(shape[1:], pad, kernel, stride, strict=True)]
        _require(name, min(size) > 0, shape, f"at least the kernel {kernel}")
        padded = [n + 2 * p for n, p in zip(shape[1:], pad, strict=True)]
        _bound_padding(name, (shape[0], *padded), shape, (shape[0], *size))
        return (shape[0], *size)
    if isinstance(node, nir.Flatten):
        rank = len(shape)
        start, end = int(node.start_dim), int(node.end_dim)
        _require(name, -rank <= start < rank and -rank <= end < rank, shape, f"an axis {start} and an axis {end}")
        start, end = start % rank, end % rank
        _require(name, start <= end, shape, f"axis {start} before axis {end}")
        return (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])
    return shape


def _conv_shape(name: str, node: nir.Conv1d | nir.Conv2d, shape: Shape) -> Shape:
    flat = isinstance(node, nir.Conv1d)
    rank = 2 if flat else 3
    channels = int(node.weight.shape[1]) * int(node.groups)
    _require(name, len(shape) == rank and shape[0] == channels, shape, f"{channels} channels, rank {rank}")
    stride, dilation, pads = conv_geometry(node)
    sides = (1, shape[1]) if flat else shape[1:]
    kernel = (1, node.weight.shape[2]) if flat else node.weight.shape[2:]
    size = tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(sides, pads, dilation, kernel, stride, strict=True)
    )
    _require(name, min(size) > 0, shape, "at least the dilated kernel")
    made = (int(node.weight.shape[0]), *(size[1:] if flat else size))
    padded = [n + sum(p) for n, p in zip(sides, pads, strict=True)]
    _bound_padding(name, (channels, *padded), shape, made)
    windows = channels * prod(kernel) * prod(size)
    if windows > MAX_ELEMENTS:
        raise UnfaithfulError(
            f"node '{name}'", f"its windows hold {windows} elements, out of all bounds", "Use a smaller kernel"
        )
    return made


def _bound_padding(name: str, padded: Shape, before: Shape, after: Shape) -> None:
    """Refuse padding that is out of proportion to what the node reads and makes: the interpreter stores it."""
    allowed = max(PADDING_FREE, PADDING_FACTOR * max(prod(before), prod(after)))
    if prod(padded) > min(allowed, MAX_ELEMENTS):
        raise UnfaithfulError(
            f"node '{name}'",
            f"its padding makes {padded} of {before}, to give {after}: out of all bounds",
            "Pad by less than the kernel, on an input of the kernel's size",
        )


def _require(name: str, holds: bool, got: Shape, wanted: str) -> None:
    if not holds:
        raise UnfaithfulError(f"node '{name}'", f"its input has shape {got}, it takes {wanted}", "Check the edges")
