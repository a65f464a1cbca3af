"""Recordings in N-MNIST's layout, generated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

# Real recordings lie beside the checkout where they are at hand.
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "NMNIST"


def packed(t_us: int, p: int, y: int, x: int) -> bytes:
    """One event as the format's description says it: 40 bits, most significant first."""
    return (x << 32 | y << 24 | p << 23 | t_us).to_bytes(5, "big")


def write_folder(root: Path, per_digit: int = 10, folder: str = "Train", seed: int = 0) -> Path:
    """Events of digit d only in row d, so that a recording shows its label."""
    draw = np.random.default_rng(seed)
    for digit in range(10):
        place = root / folder / str(digit)
        place.mkdir(parents=True)
        for i in range(per_digit):
            times = np.sort(draw.integers(0, 40_000, 50))
            events = [packed(int(t), int(draw.integers(2)), digit, int(draw.integers(34))) for t in times]
            (place / f"{i:05d}.bin").write_bytes(b"".join(events))
    return root
