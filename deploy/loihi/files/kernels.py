"""Finding the convolution in a connection's matrix: files that know kernels are given kernels.

Quantised synapses are one sparse matrix, whatever they came from. Where they came from a single `Conv2d`, and the
rounded matrix still is that convolution of one set of integer kernels, the kernels are read back from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.linear import unroll
from spikeport.export.graph import ChipGraph
from spikeport.export.shapes import Shape, conv_geometry

IntArray = NDArray[np.int32]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Kernels:
    """A convolution as PyTorch means it: correlation, zero padding, the same on both sides.

    Attributes:
        node: the `Conv2d`.
        weight: [C_out, C_in / groups, height, width].
        image: (C, H, W) of the input.
        stride, padding, dilation: height, width.
        groups: of channels.
    """

    node: str
    weight: IntArray
    image: tuple[int, int, int]
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


def find_kernels(graph: ChipGraph, source: str, target: str, weight: csr_array) -> Kernels | None:
    """Return the kernels of the synapses `weight` from `source` to `target`, `None` where they are no convolution."""
    for name in graph.predecessors[target]:
        if isinstance(graph.nodes[name], nir.Conv2d) and graph.predecessors[name] == (source,):
            found = _kernels(graph, name, source, weight)
            if found is not None:
                return found
    return None


def _kernels(graph: ChipGraph, name: str, source: str, weight: csr_array) -> Kernels | None:
    node = graph.nodes[name]
    stride, dilation, pads = conv_geometry(node)
    if len(graph.shapes[source]) != 3 or any(before != after for before, after in pads):
        return None
    image = _image(graph.shapes[source])
    shape = np.shape(node.weight)
    numbers = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    groups = int(node.groups)
    numbered = unroll(numbers, groups, stride, dilation, pads, image, _image(graph.shapes[name]))
    if (values := _values_at(weight, numbered)) is None:
        return None
    taps = numbered.data.astype(np.int64) - 1
    kernels = np.zeros(numbers.size, dtype=np.int32)
    kernels[taps] = values
    if not np.array_equal(kernels[taps], values):
        return None
    padding = (pads[0][0], pads[1][0])
    return Kernels(name, kernels.reshape(shape), image, stride, padding, dilation, groups)


def _values_at(weight: csr_array, places: csr_array) -> IntArray | None:
    """Return what `weight` stores at each entry of `places`, 0 where nothing; `None` if it stores more than that."""
    if weight.shape != places.shape:
        return None
    known, wanted = _keys(places), _keys(weight)
    if not np.all(np.isin(wanted, known, assume_unique=True)):
        return None
    values = np.zeros(len(known), dtype=np.int32)
    values[np.searchsorted(known, wanted)] = weight.data
    return values


def _keys(matrix: csr_array) -> NDArray[np.int64]:
    """Return one number for each entry's place; those of a matrix with sorted rows rise."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return np.asarray(rows * matrix.shape[1] + matrix.indices)


def _image(shape: Shape) -> tuple[int, int, int]:
    channels, height, width = shape
    return channels, height, width
