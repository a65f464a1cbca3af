"""Pairs: of one class, every first recording once, second ones in whole rounds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spikeport.train.datasets.pairing import paired

Labels = st.lists(st.integers(0, 3), max_size=30)


@given(Labels, Labels, st.integers(0, 99))
def test_pairs(first: list[int], second: list[int], seed: int) -> None:
    a_N, b_N = np.array(first, np.int64), np.array(second, np.int64)
    rows, others = paired(a_N, b_N, np.random.default_rng(seed))
    assert sorted(rows.tolist()) == [n for n, label in enumerate(first) if label in second]
    assert (a_N[rows] == b_N[others]).all()
    for label in set(first) & set(second):
        used = np.bincount(others, minlength=len(second))[b_N == label]
        assert used.max() - used.min() <= 1
