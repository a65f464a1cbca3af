"""What random networks draw from: chances, numbers, features seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


class Draws:
    """A seeded source of choices.

    Attributes:
        features: what was drawn.
        grid: whether all numbers are multiples of 1/2, so that membranes meet their thresholds exactly.
        shared: whether the neurons of a layer share their numbers, as integers of one scale need it.
    """

    def __init__(self, seed: int, shared: bool = False) -> None:
        self.shared = shared
        self.rng = np.random.default_rng(seed)
        self.features: set[str] = set()
        self.grid = self.chance(0.15)
        if self.grid:
            self.features.add("exact ties")

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def choice(self, values: list[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def uniform(self, size: Shape, low: float, high: float) -> Tensor:
        return self.on_grid(torch.tensor(self.rng.uniform(low, high, size)))

    def on_grid(self, values: Tensor) -> Tensor:
        return torch.round(2 * values) / 2 if self.grid else values

    def parameter(self, size: Shape, low: float, high: float) -> Tensor:
        """One number an element, one a channel, or one for all."""
        if self.shared:
            return self.uniform((1,), low, high)
        shape = size if self.chance(0.5) else (size[0], *(1,) * (len(size) - 1))
        return self.uniform(shape, low, high)

    def strengthen(self, layer: nn.Module) -> None:
        """Some layers drive their neurons hard, some hardly at all: saturated and silent ones are among them."""
        gain = self.choice([0.2, 1.0, 1.0, 3.0])
        with torch.no_grad():
            layer.weight.copy_(self.on_grid(torch.tensor(self.rng.normal(0, gain, layer.weight.shape))))
            if layer.bias is not None:
                layer.bias.copy_(self.on_grid(torch.tensor(self.rng.normal(0.2, 0.4, layer.bias.shape))))
