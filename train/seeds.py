"""Random streams by purpose: each is a pure function of the seed and of what it is for.

Nothing depends on how many numbers were drawn before, so that a resumed run draws what an uninterrupted
one would have drawn.
"""

from __future__ import annotations

import zlib

import numpy as np


def _words(seed: int, purpose: tuple[str | int, ...]) -> list[int]:
    return [seed, *(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in purpose)]


def rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the generator of `purpose`, independent of every other purpose's."""
    return np.random.default_rng(_words(seed, purpose))


def derived(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for `purpose`, for libraries that take an integer."""
    return int(rng(seed, *purpose).integers(2**63))
