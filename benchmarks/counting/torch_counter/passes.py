"""The passes over single precision, compiled by numba and kept on disk between runs; `compiled` hands them addresses.

Shape suffixes: N elements of one row; 2 of magnitude 1, and graded.
"""

from __future__ import annotations

from typing import Any

import numba
from numba import types

from spikeport.deploy.loihi.compiled import callback, inlined

# Its stubs know less than it has.
_numba: Any = numba
_types: Any = types
_FLOATS, _WHOLE = _types.CPointer(types.float32), types.int64


@callback(_WHOLE(_FLOATS, _WHOLE))
def nonzero(z: Any, size: Any) -> Any:
    """Return how many of `size` elements are not 0."""
    z_N = _numba.carray(z, (size,))
    found = 0
    for n in range(size):
        found += z_N[n] != 0
    return found


# Without reference counts a row is an address alone; in single precision throughout, registers are used whole.
@inlined
def _add_row(z_N: Any, unit_N: Any, graded_N: Any) -> None:
    one, zero, found = _numba.float32(1), _numba.float32(0), False
    for n in range(unit_N.size):
        size = abs(z_N[n])
        unit_N[n] += one if size == one else zero
        found |= (size != one) & (size != zero)
    if found:
        for n in range(unit_N.size):
            size = abs(z_N[n])
            graded_N[n] += one if (size != one) & (size != zero) else zero


@callback(types.void(_FLOATS, _WHOLE, _WHOLE, _WHOLE, _FLOATS))
def columns(z: Any, rows: Any, stride: Any, width: Any, target: Any) -> None:
    """Add `rows` rows of `width`, `stride` elements apart, to `target`, [2, width]."""
    z_ = _numba.carray(z, ((rows - 1) * stride + width,))
    target_2N = _numba.carray(target, (2, width))
    for r in range(rows):
        _add_row(z_[r * stride : r * stride + width], target_2N[0], target_2N[1])
