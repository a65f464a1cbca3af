"""How the kernels are compiled: without the interpreter's lock, and kept on disk between runs.

They allocate nothing and count no references (`_nrt=False`): a slice is then an address alone, where counting would
make threads wait for each other at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
# Its stubs know fewer options than it takes.
_njit: Any = numba.njit
_cfunc: Any = numba.cfunc


def compiled(function: F) -> F:
    """Compile a kernel that Python calls, and keep it on disk."""
    return cast(F, _kept(partial(_njit, nogil=True, _nrt=False), function))


def callback(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile what is called by its address, and keep it on disk."""
    return partial(_kept, partial(_cfunc, signature))


def _kept(compiler: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """Compile, and keep the result where there is a place for it: a container may have none."""
    try:
        return compiler(cache=True)(function)
    except RuntimeError:
        return compiler()(function)


def inlined(function: F) -> F:
    """Compile a piece of kernels."""
    return cast(F, _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)(function))
