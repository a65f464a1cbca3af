"""Digits as seven bars on 28 by 28 pixels, shifted and noisy: enough to train on in seconds.

Shapes: N samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

# By bar (top, upper left, upper right, middle, lower left, lower right, bottom): rows and columns.
BARS = (
    (4, 6, 9, 19),
    (5, 14, 8, 10),
    (5, 14, 18, 20),
    (13, 15, 9, 19),
    (14, 23, 8, 10),
    (14, 23, 18, 20),
    (22, 24, 9, 19),
)
LIT = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011")


def digits(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return images [N, 1, 28, 28] of values in 0 to 1, and their digits [N]."""
    g = torch.Generator().manual_seed(seed)
    clean = torch.zeros(10, 28, 28)
    for digit, lit in enumerate(LIT):
        for (top, bottom, left, right), on in zip(BARS, lit, strict=True):
            if on == "1":
                clean[digit, top:bottom, left:right] = 0.9
    labels = torch.randint(0, 10, (count,), generator=g)
    shifts = torch.randint(-2, 3, (count, 2), generator=g).tolist()
    images = torch.stack([clean[y].roll(tuple(s), (0, 1)) for y, s in zip(labels.tolist(), shifts, strict=True)])
    noisy = images + 0.1 * torch.rand(images.shape, generator=g)
    return noisy.clamp(0, 1)[:, None], labels
