"""Memory for records."""

from __future__ import annotations

import mmap
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGE = 2**22


def zeroed(shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
    """Return zeros; large ones in large pages where the system has them.

    A record is written once from end to end, so that a fault for every small page would cost more than the writing.
    """
    size = prod(shape) * np.dtype(kind).itemsize
    if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(shape, kind)
    memory = mmap.mmap(-1, size)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, kind).reshape(shape)
