"""Intervals for accuracies: one proportion, and the difference of two on the same samples.

Shape suffixes: S samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from spikeport.errors import UsageError


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    `(p + z^2/2n -+ z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n)` with p = successes/n.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22:209-212, 1927.

    Raises:
        UsageError: n is 0 (the interval of nothing is unknown, not 0 to 1) or successes are not in 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise UsageError(f"{successes} right of {n}", "that is no proportion", "Score at least one sample")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return low, high


@dataclass(frozen=True)
class Paired:
    """The difference of two accuracies on the same samples.

    Attributes:
        difference: accuracy of the first minus that of the second, in -1..1.
        ci95: its interval.
        n: samples.
        only_first: samples that only the first got right.
        only_second: samples that only the second got right.
    """

    difference: float
    ci95: tuple[float, float]
    n: int
    only_first: int
    only_second: int


def paired_difference(first_S: ArrayLike, second_S: ArrayLike) -> Paired:
    """Return the difference of two accuracies with its 95 % interval, from correctness per sample.

    Both were scored on the same samples, so their errors are correlated and the two Wilson intervals must
    not simply be compared. Newcombe's square-and-add interval: with p1, p2 the proportions, [l, u] their
    Wilson intervals and phi their correlation,
    `D - sqrt((p1-l1)^2 - 2 phi (p1-l1)(u2-p2) + (u2-p2)^2)` to
    `D + sqrt((u1-p1)^2 - 2 phi (u1-p1)(p2-l2) + (p2-l2)^2)`.

    Source: R. G. Newcombe, Statist. Med. 17:2635-2650, 1998, method 10.

    Args:
        first_S: whether the first was right, per sample.
        second_S: the same for the second, in the same order.
    """
    first, second = np.asarray(first_S, dtype=bool), np.asarray(second_S, dtype=bool)
    if first.shape != second.shape or first.ndim != 1 or first.size == 0:
        reason = "a paired interval needs the same samples, at least one"
        raise UsageError(f"answers of shapes {first.shape} and {second.shape}", reason, "Score both on one data set")
    n = first.size
    both = int((first & second).sum())
    only_first = int((first & ~second).sum())
    only_second = int((~first & second).sum())
    neither = n - both - only_first - only_second
    p1, p2 = (both + only_first) / n, (both + only_second) / n
    (l1, u1), (l2, u2) = wilson(both + only_first, n), wilson(both + only_second, n)
    phi = _correlation(both, only_first, only_second, neither)
    difference = (only_first - only_second) / n
    low = difference - _square_and_add(p1 - l1, u2 - p2, phi)
    high = difference + _square_and_add(u1 - p1, p2 - l2, phi)
    return Paired(difference, (low, high), n, only_first, only_second)


def independent_difference(first: int, n: int, second: int, m: int) -> tuple[float, tuple[float, float]]:
    """Return the difference `first/n - second/m` of two proportions on different samples, with its 95 % interval.

    Newcombe's square-and-add interval as in `paired_difference`, with correlation 0.

    Source: R. G. Newcombe, Statist. Med. 17:873-890, 1998, method 10.
    """
    (l1, u1), (l2, u2) = wilson(first, n), wilson(second, m)
    p1, p2 = first / n, second / m
    difference = p1 - p2
    return difference, (
        difference - _square_and_add(p1 - l1, u2 - p2, 0.0),
        difference + _square_and_add(u1 - p1, p2 - l2, 0.0),
    )


def _square_and_add(a: float, b: float, phi: float) -> float:
    return sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))


def _correlation(a: int, b: int, c: int, d: int) -> float:
    """Newcombe's continuity-corrected phi of a 2x2 table; 0 where a margin is empty."""
    product = (a + b) * (c + d) * (a + c) * (b + d)
    if product == 0:
        return 0.0
    excess = float(a * d - b * c)
    if excess > 0:
        excess = max(excess - (a + b + c + d) / 2, 0.0)
    return excess / sqrt(product)
