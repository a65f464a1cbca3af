"""The networks of suite `counting`, and how a way of counting is timed. Needs torch and snnTorch alone.

Shape suffixes: B samples, T steps; N a step's own shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import snntorch as snn
import torch
from torch import Tensor, nn

ACTIVITY = 0.1
STEP_AXIS = 1


def network(case: str) -> nn.Sequential:
    """Return `conv` (32 x 32) or `mlp` (20-256-256-256-35), the same on every call."""
    torch.manual_seed(0)
    if case == "conv":
        layers: list[nn.Module] = [
            nn.Conv2d(2, 16, 5, padding=2), _leaky(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), _leaky(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 8 * 8, 10), _leaky(output=True),
        ]  # fmt: skip
    else:
        layers = [nn.Linear(20, 256), _leaky(), nn.Linear(256, 256), _leaky(), nn.Linear(256, 256), _leaky()]
        layers += [nn.Linear(256, 35), _leaky(output=True)]
    return nn.Sequential(*layers).eval()


def _leaky(output: bool = False) -> snn.Leaky:
    return snn.Leaky(beta=0.9, threshold=0.4, init_hidden=True, output=output)


def spikes(case: str) -> Tensor:
    """Return its input [B, T, N]: 32 samples of 30 steps, or 256 of 100."""
    shape = (32, 30, 2, 32, 32) if case == "conv" else (256, 100, 20)
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < ACTIVITY).float()


def forward(net: nn.Module, x_BTN: Tensor) -> None:
    """Run all steps from the initial state."""
    for module in net.modules():
        if isinstance(module, snn.Leaky):
            module.reset_mem()
    for t in range(x_BTN.shape[1]):
        net(x_BTN[:, t])


def ratios(plain: Callable[[], Any], counted: Callable[[], Any], pairs: int) -> list[tuple[float, float]]:
    """Return (plain seconds, counted seconds) of interleaved pairs, in processor time of this thread alone."""
    found = []
    for turn in range(pairs + 1):
        first, second = (plain, counted) if turn % 2 else (counted, plain)
        begin = time.thread_time()
        first()
        middle = time.thread_time()
        second()
        a, b = middle - begin, time.thread_time() - middle
        found.append((a, b) if turn % 2 else (b, a))
    return found[1:]  # the first pair warms up
