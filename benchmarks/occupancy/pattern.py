"""Which synapses there are between two populations, without unrolling them.

A stateless node joins (C, H, W) to (C', H', W') by a pattern that is a Kronecker product: output (c', h', w') reads
input (c, h, w) where `channels[c', c]`, `rows[h', h]` and `columns[w', w]` all hold. Products of patterns are such
patterns again, and so are intersections, which is all that exact counts need:

    (A x B x C)(D x E x F) = AD x BE x CF,     |P or Q| = |P| + |Q| - |P and Q|

It is the structure that counts: a weight of exactly 0 has its synapse here.

Shape suffixes: O outputs, I inputs of one axis; N elements in C order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from math import prod
from typing import Literal

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.errors import UnfaithfulError
from spikeport.export.shapes import Shape, conv_geometry, pair

Counts = NDArray[np.int64]
Axis = NDArray[np.bool_]
Grid = tuple[int, int, int]

MOST_TERMS = 6


@dataclass(frozen=True)
class Pattern:
    """Synapses from one population to another.

    Attributes:
        axes: [O, I] of channels, rows and columns.
        learned: whether weights differ from each other.
        kernel: the weights that stand for all of them where kernels are shared; `None` where nothing is shared.
    """

    axes: tuple[Axis, Axis, Axis]
    learned: bool
    kernel: int | None

    def after(self, first: Pattern) -> Pattern:
        """Return `self first`: what reaches through `first` and then `self`."""
        channels, rows, columns = (_product(a, b) for a, b in zip(self.axes, first.axes, strict=True))
        kernel = None if self.kernel is None or first.kernel is None else max(self.kernel, first.kernel)
        return Pattern((channels, rows, columns), self.learned or first.learned, kernel)

    def within(self, other: Pattern) -> bool:
        """Return whether `other` has every synapse of this one."""
        return all(bool(np.all(a <= b)) for a, b in zip(self.axes, other.axes, strict=True))

    def is_identity(self) -> bool:
        """Return whether every element reaches itself alone."""
        return all(len(a) == a.shape[1] and bool(np.array_equal(a, np.eye(len(a), dtype=bool))) for a in self.axes)


def _product(a: Axis, b: Axis) -> Axis:
    # In float32, which counts up to 2^24 paths exactly; only whether there is one matters.
    return (a.astype(np.float32) @ b.astype(np.float32)) > 0


def grid_of(shape: Shape) -> Grid:
    """Return a shape as channels, rows and columns."""
    if len(shape) > 3 or not shape:
        raise UnfaithfulError(f"shape {shape}", "it is no vector, line or picture of channels", "Flatten it")
    return (shape[0], 1 if len(shape) < 3 else shape[1], 1 if len(shape) == 1 else shape[-1])


def identity(grid: Grid) -> Pattern:
    """Return every element to itself."""
    c, h, w = (np.eye(n, dtype=bool) for n in grid)
    return Pattern((c, h, w), learned=False, kernel=1)


def pattern_of(name: str, node: nir.NIRNode, shape_in: Shape, grid: Grid) -> Pattern:
    """Return the pattern of a stateless `node`.

    Args:
        name: of the node.
        node: without state.
        shape_in: of what it reads.
        grid: of what it reads, which a Flatten before it leaves as it was.

    Raises:
        UnfaithfulError: its synapses are no Kronecker product here.
    """
    if isinstance(node, nir.Affine | nir.Linear):
        if len(shape_in) != 1:
            raise UnfaithfulError(f"node '{name}'", f"it reads {shape_in}, not one axis", "Flatten what it reads")
        whole = (
            np.ones((node.weight.shape[0], grid[0]), bool),
            np.ones((1, grid[1]), bool),
            np.ones((1, grid[2]), bool),
        )
        return Pattern(whole, learned=bool(np.ptp(node.weight)), kernel=None)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(node, grid)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        kernel, stride, pads = pair(node.kernel_size), pair(node.stride), pair(node.padding)
        rows, columns = (_axis(grid[1 + i], kernel[i], stride[i], 1, (pads[i], pads[i])) for i in range(2))
        return Pattern((np.eye(grid[0], dtype=bool), rows, columns), learned=False, kernel=prod(kernel))
    if isinstance(node, nir.Scale):
        learned = bool(np.ptp(node.scale))
        same = identity(grid)
        return Pattern(same.axes, learned, int(np.size(node.scale)) if learned else 1)
    if isinstance(node, nir.Flatten):
        return identity(grid)
    raise UnfaithfulError(f"node '{name}' ({type(node).__name__})", "its synapses are not known", "Use other layers")


def _convolution(node: nir.Conv1d | nir.Conv2d, grid: Grid) -> Pattern:
    weight = np.asarray(node.weight)
    out, per_group, groups = weight.shape[0], weight.shape[1], int(node.groups)
    channels = np.kron(np.eye(groups, dtype=bool), np.ones((out // groups, per_group), bool))
    kernel = (1, weight.shape[2]) if weight.ndim == 3 else weight.shape[2:]
    stride, dilation, pads = conv_geometry(node)
    rows, columns = (_axis(grid[1 + i], kernel[i], stride[i], dilation[i], pads[i]) for i in range(2))
    return Pattern((channels, rows, columns), learned=bool(np.ptp(weight)), kernel=weight.size)


def _axis(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> Axis:
    """Return [outputs, size]: whether a tap of that output reads that input."""
    outputs = (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1
    read = stride * np.arange(outputs)[:, None] + dilation * np.arange(kernel) - pads[0]
    inside = (read >= 0) & (read < size)
    reached = np.zeros((outputs, size), bool)
    reached[np.nonzero(inside)[0], read[inside]] = True
    return reached


def union(patterns: Sequence[Pattern]) -> tuple[Pattern, ...]:
    """Return patterns that have the same synapses together, none of them within another."""
    kept: list[Pattern] = []
    for p in patterns:
        if any(p.within(q) for q in kept):
            kept = [_learning(q, p) if p.within(q) else q for q in kept]
            continue
        inside = [q for q in kept if q.within(p)]
        kept = [q for q in kept if not q.within(p)] + [reduce(_learning, inside, p)]
    if len(kept) > MOST_TERMS:
        raise UnfaithfulError("a connection", f"{len(kept)} paths make it", "Use fewer parallel layers")
    return tuple(kept)


def _learning(kept: Pattern, dropped: Pattern) -> Pattern:
    return Pattern(kept.axes, kept.learned or dropped.learned, kept.kernel)


def fan(patterns: Sequence[Pattern], of: Literal["out", "in"]) -> Counts:
    """Return how many synapses each source element drives (`out`) or each neuron has (`in`), [N].

    Args:
        patterns: whose union counts.
        of: whose fan.
    """
    axis = 0 if of == "out" else 1
    total = np.zeros(prod(a.shape[1 - axis] for a in patterns[0].axes), np.int64)
    for count in range(1, len(patterns) + 1):
        for some in combinations(patterns, count):
            axes = (reduce(np.logical_and, parts) for parts in zip(*(p.axes for p in some), strict=True))
            c, h, w = (a.sum(axis=axis, dtype=np.int64) for a in axes)
            total += (-1) ** (count + 1) * np.multiply.outer(np.multiply.outer(c, h), w).ravel()
    return total
