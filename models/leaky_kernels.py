"""The loop over time of a LIF as one compiled pass, where the tensors lie in main memory.

What a spike does to the membrane is two numbers: the share of v that is `left`, 0 for a reset to zero and else 1, and
what is `taken` off one step later, the threshold for a reset by subtraction and else 0.

Each step is a loop over its own rows and in the tensors' own precision: only then does the compiler use wide registers.
A literal, even 0, would lift single precision to double.

Shape suffixes: T time steps, M all other axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kernel = Callable[..., None]


class _Kernels(NamedTuple):
    forward: Kernel
    backward: Kernel
    backward_atan: Kernel
    backward_sigmoid: Kernel


Array = NDArray[np.generic]


def fits(x: Tensor) -> bool:
    """Return whether the kernels take `x`."""
    return x.device.type == "cpu" and x.is_floating_point() and x.is_contiguous() and x.element_size() >= 4


class Membrane(NamedTuple):
    """What v does: `v[t] = decay (left if s[t-1] else 1) v[t-1] + x[t] - taken s[t-1]`, `s[t] = v[t] > threshold`."""

    decay: float
    threshold: float
    left: float
    taken: float

    @property
    def carried(self) -> tuple[float, float, float]:
        """What of the gradient of v[t+1] reaches v[t]: the threshold, the share where v did not spike, where it did."""
        return self.threshold, self.decay, self.decay * self.left


def run(x_T: Tensor, v_T: Tensor, s_T: Tensor, membrane: Membrane) -> None:
    """Write v and s, of any shape [T, *]."""
    _kernels().forward(_rows(x_T), _rows(v_T), _rows(s_T), *_scalars(x_T, *membrane, 1))


def run_back(g_T: Tensor, v_T: Tensor, membrane: Membrane) -> None:
    """Turn `g[t]`, of the spikes through the surrogate, into `g[t] + carried g[t+1]`, from the last step."""
    _kernels().backward(_rows(g_T), _rows(v_T), *_scalars(g_T, *membrane.carried))


def run_back_atan(ds_T: Tensor, v_T: Tensor, g_T: Tensor, membrane: Membrane, alpha: float) -> None:
    """Write `g[t] = ds[t] (alpha / 2) / (1 + (pi alpha (v[t] - threshold) / 2)^2) + carried g[t+1]`."""
    scalars = _scalars(g_T, *membrane.carried, 1, alpha / 2, math.pi / 2 * alpha)
    _kernels().backward_atan(_rows(ds_T), _rows(v_T), _rows(g_T), *scalars)


def run_back_sigmoid(ds_T: Tensor, v_T: Tensor, g_T: Tensor, membrane: Membrane, slope: float) -> None:
    """Write `g[t] = ds[t] slope s (1 - s) + carried g[t+1]`, `s = sigmoid(slope (v[t] - threshold))`.

    Sigmoids are torch's, which takes several numbers at a time, and stand in g_T before they are used.
    """
    torch.sub(v_T, membrane.threshold, out=g_T).mul_(slope).sigmoid_()
    _kernels().backward_sigmoid(_rows(ds_T), _rows(v_T), _rows(g_T), *_scalars(g_T, *membrane.carried, 1, slope))


def _rows(x_T: Tensor) -> Array:
    array: Array = x_T.detach().reshape(len(x_T), -1).numpy()
    return array


def _scalars(like: Tensor, *values: float) -> list[np.generic]:
    kind: Any = _rows(like[:1]).dtype.type
    return [kind(value) for value in values]


@cache
def _kernels() -> _Kernels:
    import numba

    @numba.njit(nogil=True)
    def step(x_M: Any, before_M: Any, v_M: Any, decay: Any, threshold: Any, left: Any, taken: Any) -> None:
        zero = decay - decay
        for m in range(x_M.size):
            before = before_M[m]
            fired = before > threshold
            kept = before * left if fired else before
            v_M[m] = kept * decay + x_M[m] - (taken if fired else zero)

    @numba.njit(nogil=True)
    def fire(v_M: Any, s_M: Any, threshold: Any, one: Any) -> None:
        zero = one - one
        for m in range(v_M.size):
            s_M[m] = one if v_M[m] > threshold else zero

    @numba.njit(nogil=True)
    def forward(x_TM: Any, v_TM: Any, s_TM: Any, decay: Any, threshold: Any, left: Any, taken: Any, one: Any) -> None:
        v_TM[0] = x_TM[0]
        fire(v_TM[0], s_TM[0], threshold, one)
        for t in range(1, len(x_TM)):
            step(x_TM[t], v_TM[t - 1], v_TM[t], decay, threshold, left, taken)
            fire(v_TM[t], s_TM[t], threshold, one)

    @numba.njit(nogil=True)
    def carry(g_M: Any, v_M: Any, after_M: Any, threshold: Any, silent: Any, fired: Any) -> None:
        for m in range(g_M.size):
            kept = silent if v_M[m] <= threshold else fired
            g_M[m] += kept * after_M[m]

    @numba.njit(nogil=True)
    def backward(g_TM: Any, v_TM: Any, threshold: Any, silent: Any, fired: Any) -> None:
        for t in range(len(g_TM) - 2, -1, -1):
            carry(g_TM[t], v_TM[t], g_TM[t + 1], threshold, silent, fired)

    @numba.njit(nogil=True)
    def slope(ds_M: Any, v_M: Any, g_M: Any, threshold: Any, one: Any, half: Any, inner: Any) -> None:
        for m in range(g_M.size):
            u = inner * (v_M[m] - threshold)
            g_M[m] = ds_M[m] * (half / (one + u * u))

    @numba.njit(nogil=True)
    def backward_atan(
        ds_TM: Any, v_TM: Any, g_TM: Any, threshold: Any, silent: Any, fired: Any, one: Any, half: Any, inner: Any
    ) -> None:
        last = len(g_TM) - 1
        slope(ds_TM[last], v_TM[last], g_TM[last], threshold, one, half, inner)
        for t in range(last - 1, -1, -1):
            slope(ds_TM[t], v_TM[t], g_TM[t], threshold, one, half, inner)
            carry(g_TM[t], v_TM[t], g_TM[t + 1], threshold, silent, fired)

    @numba.njit(nogil=True)
    def logistic(ds_M: Any, g_M: Any, one: Any, slope: Any) -> None:
        for m in range(g_M.size):
            s = g_M[m]
            g_M[m] = ds_M[m] * (slope * s * (one - s))

    @numba.njit(nogil=True)
    def backward_sigmoid(
        ds_TM: Any, v_TM: Any, g_TM: Any, threshold: Any, silent: Any, fired: Any, one: Any, slope: Any
    ) -> None:
        last = len(g_TM) - 1
        logistic(ds_TM[last], g_TM[last], one, slope)
        for t in range(last - 1, -1, -1):
            logistic(ds_TM[t], g_TM[t], one, slope)
            carry(g_TM[t], v_TM[t], g_TM[t + 1], threshold, silent, fired)

    return _Kernels(forward, backward, backward_atan, backward_sigmoid)
