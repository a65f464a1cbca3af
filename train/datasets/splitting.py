"""Splitting recordings into parts that share none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikeport.train.datasets.base import Part

Rows = NDArray[np.int64]
_PARTS: tuple[Part, ...] = ("train", "val", "test")


def split_rows(
    labels_N: Rows, val_share: float, draw: np.random.Generator, test_share: float = 0.2
) -> dict[Part, Rows]:
    """Return disjoint rows of each part: `test_share` of each class is "test", `val_share` of the rest "val"."""
    parts: dict[Part, list[Rows]] = {part: [] for part in _PARTS}
    for label in np.unique(labels_N):
        rows = draw.permutation(np.flatnonzero(labels_N == label))
        test = int(len(rows) * test_share)
        val = test + max(1, round((len(rows) - test) * val_share))
        for part, some in zip(("test", "val", "train"), np.split(rows, [test, val]), strict=True):
            parts[part].append(some)  # type: ignore[index]
    return {part: np.concatenate(rows) for part, rows in parts.items()}


def some_of_each(rows: Rows, labels_N: Rows, share: float, draw: np.random.Generator) -> Rows:
    """Return a random `share` of the rows of each class, and at least one."""
    of_class = [rows[labels_N[rows] == label] for label in np.unique(labels_N[rows])]
    return np.concatenate([draw.permutation(some)[: max(1, round(len(some) * share))] for some in of_class])
