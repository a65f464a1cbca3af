"""Two variants on the same test samples: the difference of their accuracies, with a paired interval.

Shape suffixes: N test samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeport.benchmarks.studies.stored import Outcome
from spikeport.train.seeds import rng

DRAWS = 10_000
CAPTION = (
    "Difference: accuracy minus the reference's in percentage points, averaged over the seeds that both have. "
    f"Its 95 % interval is a paired percentile bootstrap over the test samples ({DRAWS} draws with replacement): each "
    "sample brings its right answers averaged over seeds, minus the reference's on the same sample. It says how "
    "far the choice of test samples moves the difference between these trained networks; how far another training "
    "would is what the sd over seeds shows."
)
Key = tuple[str, float | None]


@dataclass(frozen=True)
class Against:
    """A difference of accuracies, in -1..1, with its 95 % interval, over so many seeds."""

    difference: float
    ci95: tuple[float, float]
    seeds: int


def against(mine: Mapping[int, Outcome], theirs: Mapping[int, Outcome], keys: Iterable[Key]) -> Against | None:
    """Return the difference of mean accuracies over `keys` and common seeds; `None` where nothing can be paired.

    Args:
        mine: the outcomes of a variant by seed.
        theirs: those of the reference.
        keys: conditions, all of which a seed must have to count.
    """
    wanted = list(keys)
    totals: list[NDArray[np.int64]] = []
    for seed in sorted(set(mine) & set(theirs)):
        pairs = [(mine[seed].at(*key), theirs[seed].at(*key)) for key in wanted]
        if mine[seed].samples_sha256 != theirs[seed].samples_sha256:
            return None
        rows = [a.right().astype(np.int64) - b.right() for a, b in pairs if a is not None and b is not None]
        if len(rows) == len(wanted):
            totals.append(np.sum(rows, axis=0))
    if not totals:
        return None
    total_N = np.sum(totals, axis=0)
    scale = 1.0 / (len(totals) * len(wanted))
    low, high = interval(total_N)
    return Against(scale * float(total_N.mean()), (scale * low, scale * high), len(totals))


def interval(values_N: NDArray[np.int64], draws: int = DRAWS) -> tuple[float, float]:
    """Return the percentile bootstrap's 95 % interval of the mean.

    Drawing N of N samples with replacement draws how often each value occurs from a multinomial distribution, so
    that the distinct values are all that is needed.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    """
    values, counts = np.unique(values_N, return_counts=True)
    n = len(values_N)
    means = rng(0, "study bootstrap").multinomial(n, counts / n, draws) @ values / n
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
