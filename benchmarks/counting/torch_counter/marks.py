"""Marks on tensors that are known to hold only 0 and 1, so that counting them is a plain sum.

A mark is an attribute of the tensor object, with the tensor's version: an operation in place makes it void.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spikeport.benchmarks.counting.torch_counter.compiled import EXACT_ROWS

_NAME = "_spikeport_binary"


class Mark(NamedTuple):
    """A tensor of zeros and ones.

    Attributes:
        version: of the tensor when it was marked.
        sums: its sum over the first axis, flat, if somebody has taken it already.
    """

    version: int
    sums: Tensor | None


def mark(z: Tensor, sums: Tensor | None = None) -> None:
    """Say that `z` holds only 0 and 1. Inference tensors keep no version and stay unmarked."""
    if not z.is_inference():
        setattr(z, _NAME, Mark(z._version, sums))


def mark_of(z: Tensor) -> Mark | None:
    """Return the mark, if it still holds."""
    found: Mark | None = getattr(z, _NAME, None)
    return found if found is not None and found.version == z._version else None


def is_binary(z: Tensor) -> bool:
    """Return whether all elements are 0 or 1; waits for the device."""
    return z.dtype is torch.bool or torch.equal(z.bool().to(z.dtype), z)


def column_sums(z_RN: Tensor) -> Tensor:
    """Return the sums of zeros and ones over rows, exact and in memory of its own."""
    if z_RN.dtype is torch.float32 and 1 < len(z_RN) < EXACT_ROWS:
        return z_RN.sum(0)
    dtype = torch.float32 if len(z_RN) < EXACT_ROWS else torch.float64
    return z_RN[0].to(dtype, copy=True) if len(z_RN) == 1 else z_RN.sum(0, dtype=dtype)
