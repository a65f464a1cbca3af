"""The values that weights of few bits may take: one grid for training (`models`) and for Loihi (`deploy`).

A weight is a whole number k of units. b >= 2 bits hold k from -2^(b-1) to 2^(b-1) - 1. One bit is the sign alone,
k = -1 or 1: two's complement of one bit has no positive value (Lava's `num_weight_bits=1` keeps of mixed weights
only -256 and 0, lava-nc 0.10.0 `lava/utils/weightutils.py`), so both signs take the chip two bits, of which two
levels are used. A weight of 0 is no synapse, at any number of bits.

The unit is what brings the squared error lowest, as XNOR-Net's scale mean |w| does for one bit (Rastegari et al.
2016, arXiv:1603.05279, eq. 6). The largest weight gets 64 to 127 steps times a power of two, whatever the bits, so
that every grid of b bits is part of the one of b + 1: more bits never make the error larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST_BITS = 8
MOST_SCORED = 2**16
"""Distinct weights of a connection that the unit is chosen on; beyond that, evenly many of them by size."""
_STEPS = range(127, 63, -1)
_CLIPPING_OCTAVES = 4


def levels(bits: int) -> tuple[int, int]:
    """Return the least and the greatest k of `bits` bits."""
    return (-1, 1) if bits == 1 else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def stored_step(bits: int) -> int:
    """Return the distance of two stored weights: the low bits are the sign's and those that are not used."""
    # One bit holds no positive weight: both signs are stored in two.
    return 1 << (MOST_BITS - max(bits, 2) + 1)


def nearest(weights: Array, unit: float | Array, bits: int) -> Array:
    """Return the k of each weight: the nearest level, and 0 for a weight of 0; the unit is one, or one a weight."""
    if bits == 1:
        return np.sign(weights)
    low, high = levels(bits)
    steps: Array = np.clip(np.rint(weights / unit), low, high)
    return steps


@dataclass(frozen=True)
class Values:
    """The distinct weights of one connection, with how often each is there."""

    values: Array
    counts: Array

    @classmethod
    def of(cls, weights: Array) -> Values:
        """Return the values of `weights`, zeros left out."""
        values, counts = np.unique(weights[weights != 0], return_counts=True)
        if len(values) > MOST_SCORED:
            chosen = np.linspace(0, len(values) - 1, MOST_SCORED).round().astype(np.int64)
            values, counts = values[chosen], counts[chosen]
        return cls(values, counts.astype(np.float64))

    @property
    def largest(self) -> float:
        """The largest magnitude, 0 without weights."""
        return float(np.max(np.abs(self.values), initial=0.0))

    def error(self, unit: float, bits: int) -> float:
        """Return the sum of squared errors on a grid."""
        difference = nearest(self.values, unit, bits) * unit - self.values
        return float(self.counts @ difference**2)


def best_units(connections: Sequence[Values], bits: int) -> list[float]:
    """Return the unit of each connection, powers of two apart, with the least squared error in all.

    A connection without weights gets 0.
    """
    strongest = max((c.largest for c in connections), default=0.0)
    if strongest == 0:
        return [0.0] * len(connections)
    best = (np.inf, [0.0] * len(connections))
    for steps in _STEPS:
        found = [_best_octave(c, strongest / steps, bits) for c in connections]
        error = sum(e for e, _ in found)
        if error < best[0]:
            best = (error, [unit for _, unit in found])
    return best[1]


def _best_octave(connection: Values, unit: float, bits: int) -> tuple[float, float]:
    """Return the error and the best of `unit` times powers of two, from no clipping at all downwards."""
    if connection.largest == 0:
        return 0.0, 0.0
    top = ceil(log2(connection.largest / (levels(bits)[1] + 0.5) / unit))
    return least((connection.error(u, bits), u) for u in (unit * 2.0 ** (top - i) for i in range(_CLIPPING_OCTAVES)))


def least(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the pair with the smallest first entry, the earliest of equals."""
    return min(pairs, key=lambda pair: pair[0])
