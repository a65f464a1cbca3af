"""Counting as one compiled pass over the elements, where they lie in main memory in single precision.

An operation of torch costs a multiple of its own time here: between two layers, its code and what it allocates have
left the caches. These passes are short, allocate nothing and need nothing to be known of the elements. For the same
reason, what leads to them is kept short.

Shape suffixes: R rows, N elements of one row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from spikeport.benchmarks.counting.torch_counter.accumulators import zeros

EXACT_ROWS = 2**24
"""Below so many rows a float32 sum of zeros and ones is exact."""

SPREAD = 2**18
"""Torch spreads its own operations on more elements than these over threads, if it has several; ours take one."""


class _Kernels(NamedTuple):
    nonzero: Callable[[int, int], int]
    columns: Callable[[int, int, int, int, int], None]


def pays(elements: int) -> bool:
    """Return whether a pass is the faster way to count so many elements."""
    return elements <= SPREAD or torch.get_num_threads() == 1


class Nonzero:
    """Counts elements that are not 0."""

    def __init__(self) -> None:
        self.total = 0
        self._count = kernels().nonzero

    def add(self, z: Tensor) -> bool:
        """Count `z`, of the CPU; return whether the pass can."""
        if type(z) is not Tensor or z.dtype is not torch.float32 or not z.is_contiguous():
            return False
        # Torch gives nothing, and what it knows to be 0, no memory.
        if address := z.data_ptr():
            self.total += self._count(address, z.numel())
        return True


class Columns:
    """Counts the elements of each column: of magnitude 1, and graded, which is any other but 0.

    Args:
        shape: of one row.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._width = prod(shape)
        self._strides = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
        self._axes = len(shape) + 1
        self._rows = 0
        self._recent_2N = zeros(2, self._width)
        self._total_2N = zeros(2, self._width, dtype=torch.int64)
        self._target = self._recent_2N.data_ptr()
        self._add = kernels().columns

    def add(self, z: Tensor, rows: int) -> bool:
        """Count `rows` rows [..., *shape] of the CPU; return whether the pass can."""
        if type(z) is not Tensor or z.dtype is not torch.float32 or rows >= EXACT_ROWS:
            return False
        stride = self._width
        if not z.is_contiguous():
            strides = z.stride()
            if len(strides) != self._axes or strides[1:] != self._strides:
                return False
            stride = strides[0]
        self._rows += rows
        if self._rows >= EXACT_ROWS:
            self._flush()
            self._rows = rows
        if address := z.data_ptr():
            self._add(address, rows, stride, self._width, self._target)
        return True

    def _flush(self) -> None:
        self._total_2N += self._recent_2N.to(torch.int64)
        self._recent_2N.zero_()
        self._rows = 0

    def read(self) -> Tensor:
        """Return the int64 maps [2, N] of all so far."""
        self._flush()
        return self._total_2N


@cache
def kernels() -> _Kernels:
    """Load the passes, which the first call of all compiles."""
    import ctypes

    from spikeport.benchmarks.counting.torch_counter import passes

    address, whole = ctypes.c_void_p, ctypes.c_int64
    passes.nonzero.ctypes.argtypes = [address, whole]
    passes.columns.ctypes.argtypes = [address, whole, whole, whole, address]
    return _Kernels(passes.nonzero.ctypes, passes.columns.ctypes)
