"""Fan-out maps in torch: how many outputs each input element of a convolution reaches, for any number of dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """The arguments of `aten.convolution` after the bias."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int


def matrix_fan_out(weight: Tensor, outputs: int, nonzero_only: bool) -> Tensor:
    """Return how many outputs each input of a product with `weight` reaches; they lie along the axis `outputs`."""
    if nonzero_only:
        return (weight.detach().cpu() != 0).sum(outputs)
    return torch.full(weight.select(outputs, 0).shape, weight.shape[outputs])


def conv_fan_out(weight: Tensor, shape: tuple[int, ...], geometry: Geometry, nonzero_only: bool) -> Tensor:
    """Return the map of a convolution over inputs of `shape` (channels first, without batch); nobody may change it."""
    if nonzero_only:
        return _gradient((weight.detach().cpu() != 0).double(), shape, geometry)
    return _dense_fan_out(weight.shape, shape, geometry)


@lru_cache(maxsize=64)
def _dense_fan_out(kernel: torch.Size, shape: tuple[int, ...], geometry: Geometry) -> Tensor:
    """Return the map where every weight counts, which the shapes alone decide."""
    return _gradient(torch.ones(kernel, dtype=torch.float64), shape, geometry)


def _gradient(present_: Tensor, shape: tuple[int, ...], geometry: Geometry) -> Tensor:
    """Return the gradient of the sum of all outputs where every counted weight is 1.

    It is exact in float64, since all intermediate values are integers.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.ones((1, *shape), dtype=torch.float64, requires_grad=True)
        g = geometry
        # an inference tensor cannot be differentiated through, its copy can
        y = torch.convolution(
            x, present_.clone(), None, g.stride, g.padding, g.dilation, g.transposed, g.output_padding, g.groups
        )
        (fan,) = torch.autograd.grad(y.sum(), x)
    return fan[0].round().to(torch.int64)
