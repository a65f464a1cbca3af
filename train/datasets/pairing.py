"""Pairing recordings of two kinds by their class, inside one part.

Shape suffixes: N recordings of the first kind.
"""

from __future__ import annotations

import numpy as np

from spikeport.train.datasets.splitting import Rows


def paired(first_N: Rows, second: Rows, draw: np.random.Generator) -> tuple[Rows, Rows]:
    """Return (rows of the first kind, rows of the second): pairs of one class, in random order.

    Args:
        first_N: classes of the first kind. Every recording is used once, but those whose class the second lacks.
        second: classes of the second kind. In a class, none is used twice more than another.
        draw: decides pairs and order.
    """
    first_rows = draw.permutation(np.flatnonzero(np.isin(first_N, second)))
    second_rows = np.empty_like(first_rows)
    for label in np.unique(first_N[first_rows]):
        of_class = np.flatnonzero(first_N[first_rows] == label)
        pool = np.flatnonzero(second == label)
        # Whole rounds through the pool: no recording is used twice more than another.
        rounds = [draw.permutation(pool) for _ in range(-(-len(of_class) // len(pool)))]
        second_rows[of_class] = np.concatenate(rounds)[: len(of_class)]
    return first_rows, second_rows
