"""The loop over time of a zero-reset LIF as one compiled pass, where the tensors lie in main memory.

Shape suffixes: T time steps, M all other axes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Kernel = Callable[..., None]
Array = NDArray[np.generic]


def fits(x: Tensor) -> bool:
    """Return whether the kernels take `x`."""
    return x.device.type == "cpu" and x.is_floating_point() and x.is_contiguous() and x.element_size() >= 4


def run(x_T: Tensor, v_T: Tensor, decay: float, threshold: float) -> None:
    """Write the membrane `v[t] = decay (1 - r[t-1]) v[t-1] + x[t]`, `r = v > threshold`, of any shape [T, *]."""
    kernel, _ = _kernels()
    kernel(_rows(x_T), _rows(v_T), *_scalars(x_T, decay, threshold))


def run_back(g_T: Tensor, v_T: Tensor, decay: float, threshold: float) -> None:
    """Turn `g[t]`, of the spikes through the surrogate, into `g[t] + decay (1 - r[t]) g[t+1]`, from the last step."""
    _, kernel = _kernels()
    kernel(_rows(g_T), _rows(v_T), *_scalars(g_T, decay, threshold))


def _rows(x_T: Tensor) -> Array:
    array: Array = x_T.detach().reshape(len(x_T), -1).numpy()
    return array


def _scalars(like: Tensor, *values: float) -> list[np.generic]:
    kind: Any = _rows(like[:1]).dtype.type
    return [kind(value) for value in values]


@cache
def _kernels() -> tuple[Kernel, Kernel]:
    import numba

    @numba.njit(nogil=True)
    def forward(x_TM: Any, v_TM: Any, decay: Any, threshold: Any) -> None:
        steps, size = x_TM.shape
        for m in range(size):
            v_TM[0, m] = x_TM[0, m]
        for t in range(1, steps):
            for m in range(size):
                before = v_TM[t - 1, m]
                kept = before if before <= threshold else before * 0
                v_TM[t, m] = kept * decay + x_TM[t, m]

    @numba.njit(nogil=True)
    def backward(g_TM: Any, v_TM: Any, decay: Any, threshold: Any) -> None:
        steps, size = g_TM.shape
        for t in range(steps - 2, -1, -1):
            for m in range(size):
                if v_TM[t, m] <= threshold:
                    g_TM[t, m] += decay * g_TM[t + 1, m]

    return forward, backward
