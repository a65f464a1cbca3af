"""Splitting recordings by who speaks.

Shape suffixes: N recordings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import UsageError, did_you_mean
from spikeport.train.datasets.base import Part
from spikeport.train.datasets.splitting import Rows, some_of_each


def speaker_rows(
    labels_N: Rows,
    speakers_N: NDArray[np.str_],
    test: tuple[str, ...],
    val: tuple[str, ...],
    val_share: float,
    draw: np.random.Generator,
) -> dict[Part, Rows]:
    """Return disjoint rows of each part: "test" holds the speakers `test`, "val" those of `val`.

    Where `val` names none, "val" is a random `val_share` of each class of the other speakers.

    Raises:
        UsageError: a speaker is unknown or named twice, or none is left for the test or for training.
    """
    known, named = sorted(set(speakers_N.tolist())), test + val
    for speaker in named:
        if speaker not in known:
            raise UsageError(f"speaker '{speaker}'", "no recording is theirs", did_you_mean(speaker, known))
    if not test or len(set(named)) < len(named) or set(named) == set(known):
        reason = "split: speakers needs some for the test, none of them twice, and leaves some for training"
        raise UsageError("data.params.test_speakers", reason, f"Choose from {', '.join(known)}")
    test_rows = np.flatnonzero(np.isin(speakers_N, test))
    rest = np.flatnonzero(~np.isin(speakers_N, named))
    val_rows = np.flatnonzero(np.isin(speakers_N, val)) if val else some_of_each(rest, labels_N, val_share, draw)
    return {"train": np.setdiff1d(rest, val_rows), "val": val_rows, "test": test_rows}
