"""How the kernels are compiled: without the interpreter's lock, and kept on disk between runs.

They allocate nothing and count no references (`_nrt=False`): a slice is then an address alone, where counting would
make threads wait for each other at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
# Its stubs know fewer options than it takes.
_njit: Any = numba.njit


def compiled(function: F) -> F:
    """Compile a kernel that Python calls, and keep it where there is a place for it: a container may have none."""
    try:
        return cast(F, _njit(cache=True, nogil=True, _nrt=False)(function))
    except RuntimeError:
        return cast(F, _njit(nogil=True, _nrt=False)(function))


def inlined(function: F) -> F:
    """Compile a piece of kernels."""
    return cast(F, _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)(function))
