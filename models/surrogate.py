"""Surrogate gradients that snnTorch lacks, or has in a form that overflows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class SigmoidSurrogate:
    """A step at 0 whose gradient is that of a sigmoid: `slope s (1 - s)`, `s = sigmoid(slope u)`.

    `snntorch.surrogate.sigmoid` is the same by `exp(-slope u) / (1 + exp(-slope u))^2`, which is NaN in float32 where
    `slope u < -88`.
    """

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __call__(self, u: Tensor) -> Tensor:
        """Return 1 where u > 0."""
        step: Callable[..., Tensor] = _Step.apply
        return step(u, self.slope)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.slope = slope
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        s = torch.sigmoid(ctx.slope * u)
        return grads[0] * (ctx.slope * s * (1 - s)), None
