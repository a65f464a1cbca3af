"""Dividing recordings into parts: at random by class, by whole groups, or in sorted order.

Every function takes the rows that may be divided and returns (those that stay, those that go), disjoint.

Shape suffixes: N recordings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.train.datasets.splitting import Rows


def carved(rows: Rows, labels_N: Rows, share: float, draw: np.random.Generator) -> tuple[Rows, Rows]:
    """Take `share` of each class at random, at least one of a class that has two."""
    stay, go = [], []
    for label in np.unique(labels_N[rows]):
        of_class = draw.permutation(rows[labels_N[rows] == label])
        count = max(round(share * len(of_class)), min(1, len(of_class) - 1))
        go.append(of_class[:count])
        stay.append(of_class[count:])
    return _joined(stay), _joined(go)


def carved_groups(
    rows: Rows, groups_N: NDArray[np.str_], share: float, draw: np.random.Generator, what: str
) -> tuple[Rows, Rows]:
    """Take `share` of the groups at random, whole, at least one.

    Raises:
        ArtefactError: no group would stay.
    """
    groups = draw.permutation(np.unique(groups_N[rows]))
    count = max(1, round(share * len(groups)))
    if count >= len(groups):
        raise ArtefactError(f"the {len(groups)} {what}", "they are too few to divide", "Take more data")
    go = np.isin(groups_N[rows], groups[:count])
    return rows[~go], rows[go]


def first_share(rows: Rows, labels_N: Rows, share: float) -> tuple[Rows, Rows]:
    """Keep the first `share` of each class, rounded down, in the order of the rows."""
    stay, go = [], []
    for label in np.unique(labels_N[rows]):
        of_class = rows[labels_N[rows] == label]
        # The sum undoes that 0.7 * 10 falls short of 7 in binary.
        count = int(share * len(of_class) + 1e-9)
        stay.append(of_class[:count])
        go.append(of_class[count:])
    return _joined(stay), _joined(go)


def limited(rows: Rows, labels_N: Rows, per_class: int | None) -> Rows:
    """Return the first `per_class` rows of each class, in their order."""
    if per_class is None:
        return rows
    seen: dict[int, int] = {}
    kept = []
    for row in rows:
        label = int(labels_N[row])
        seen[label] = seen.get(label, 0) + 1
        kept.append(seen[label] <= per_class)
    chosen: Rows = rows[np.array(kept, bool)]
    return chosen


def _joined(some: Sequence[Rows]) -> Rows:
    return np.concatenate(some) if some else np.empty(0, np.int64)
