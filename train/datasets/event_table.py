"""Events of many recordings in one table, so that they are moved and binned together.

Shape suffixes: N recordings, M = N + 1, E events, T time bins, P polarities, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from spikeport.train.datasets.nmnist import PIXELS, Events
from spikeport.train.datasets.splitting import Rows


@dataclass(frozen=True)
class EventTable:
    """Time, polarity (0 or 1), row and column of each event; recording n's lie at `start_M[n]:start_M[n + 1]`."""

    start_M: Rows
    t_us_E: NDArray[np.int32]
    p_E: NDArray[np.uint8]
    y_E: NDArray[np.uint8]
    x_E: NDArray[np.uint8]

    @classmethod
    def of(cls, recordings: Sequence[Events]) -> EventTable:
        """Return the table of at least one recording."""
        return cls(
            np.cumsum([0, *(len(events.t_us_E) for events in recordings)]),
            np.concatenate([events.t_us_E for events in recordings]).astype(np.int32),
            np.concatenate([events.p_E for events in recordings]).astype(np.uint8),
            np.concatenate([events.y_E for events in recordings]).astype(np.uint8),
            np.concatenate([events.x_E for events in recordings]).astype(np.uint8),
        )

    def frames(
        self, rows_N: Rows, steps: int, bin_us: int, pool: int, binary: bool, move_N2: Rows | None = None
    ) -> NDArray[np.float32]:
        """Return x_NTPHW: the events of each bin, polarity and `pool` x `pool` pixels, counted or, if `binary`, 0 or 1.

        Args:
            rows_N: which recordings.
            steps: T; what comes after the last bin is left out.
            bin_us: width of a bin.
            pool: pixels on a side that are summed.
            binary: whether more than one event counts as one.
            move_N2: pixels by which each recording is moved down and right; what leaves the field is lost.
        """
        length_N = np.diff(self.start_M)[rows_N]
        sample_E = np.repeat(np.arange(len(rows_N)), length_N)
        first_N = np.cumsum(length_N) - length_N
        at_E = np.arange(length_N.sum()) + np.repeat(self.start_M[rows_N] - first_N, length_N)
        step_E, y_E, x_E = self.t_us_E[at_E] // bin_us, self.y_E[at_E].astype(np.int64), self.x_E[at_E].astype(np.int64)
        if move_N2 is not None:
            y_E, x_E = y_E + move_N2[sample_E, 0], x_E + move_N2[sample_E, 1]
        kept = (step_E < steps) & (y_E >= 0) & (y_E < PIXELS) & (x_E >= 0) & (x_E < PIXELS)
        shape = (len(rows_N), steps, 2, PIXELS // pool, PIXELS // pool)
        where = (sample_E[kept], step_E[kept], self.p_E[at_E][kept], y_E[kept] // pool, x_E[kept] // pool)
        counts = np.bincount(np.ravel_multi_index(where, shape), minlength=prod(shape)).reshape(shape)
        return (np.minimum(counts, 1) if binary else counts).astype(np.float32)
