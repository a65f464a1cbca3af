"""Noise at test time: what a trained network meets that its training did not, by signal-to-noise ratio.

An analog input gets Gaussian noise, an input of spikes background activity. Both are pure functions of (split, ratio,
seed). Each sample has its own stream, and one seed gives the same noise at every ratio but for its amount, so that a
curve over the ratio shows the ratio.

Shape suffixes: D entries of one sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import UsageError, did_you_mean
from spikeport.train.datasets.base import Split
from spikeport.train.seeds import rng

GRID_DB = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
JOINT = "joint"


@dataclass(frozen=True)
class Condition:
    """One point of a robustness curve: `where` is the input that is noisy, or "joint" for all of them."""

    where: str
    snr_db: Mapping[str, float]


def conditions(inputs: Iterable[str], grid_db: Iterable[float] = GRID_DB) -> Iterator[Condition]:
    """Yield every ratio of the grid on each input alone, and then on all of them where there are several."""
    names, grid = tuple(inputs), tuple(grid_db)
    for name in names:
        yield from (Condition(name, {name: level}) for level in grid)
    if len(names) > 1:
        yield from (Condition(JOINT, dict.fromkeys(names, level)) for level in grid)


def corrupted(split: Split, snr_db: Mapping[str, float], seed: int, events: frozenset[str] = frozenset()) -> Split:
    """Return `split` with noise on the inputs that `snr_db` names; the others, and infinity, stay clean.

    Args:
        split: the samples before encoding.
        snr_db: ratio of each noisy input in dB, see `gaussian` and `background`.
        seed: of the draws.
        events: the inputs that hold spikes or counts of them, see `spikeport.train.samples.event_inputs`.

    Raises:
        UsageError: an input is not there, a ratio is no number, or spikes do not fit (`background`).
    """
    inputs = dict(split.inputs)
    for name, level_db in snr_db.items():
        if name not in inputs:
            raise UsageError(f"noise on input '{name}'", "the samples have no such input", did_you_mean(name, inputs))
        if math.isnan(level_db) or level_db == -math.inf:
            raise UsageError(f"noise on input '{name}'", f"{level_db} dB is no ratio", "Give a number of dB")
        add = _background if name in events else _gaussian
        inputs[name] = add(name, inputs[name], 10 ** (level_db / 10), seed)
    return Split(inputs, split.labels, split.bad)


def gaussian(x_D: NDArray[np.float32], ratio: float, draw: np.random.Generator) -> NDArray[np.float32]:
    """Return `x + sigma n` with standard normal n and `sigma^2 = mean(x^2) / ratio`; a sample of zeros stays so."""
    sigma = math.sqrt(float(np.mean(np.square(x_D, dtype=np.float64))) / ratio)
    return np.asarray(x_D + np.float32(sigma) * draw.standard_normal(x_D.shape, dtype=np.float32), np.float32)


def background(
    x_D: NDArray[np.float32], ratio: float, binary: bool, draw: np.random.Generator
) -> NDArray[np.float32] | None:
    """Return x with `round(sum(x) / ratio)` background events: signal events / noise events = ratio.

    They fall evenly on all entries, wherever the signal is. In a binary input no two fall on one entry, and one that
    meets a spike of the signal merges with it; in counts all add. None where a binary input has too few entries, which
    needs a ratio below 1 (0 dB).
    """
    flat = x_D.ravel().copy()
    extra = round(float(flat.sum(dtype=np.float64)) / ratio)
    if binary:
        if extra > len(flat):
            return None
        flat[draw.permutation(len(flat))[:extra]] = 1
    else:
        np.add.at(flat, draw.integers(0, len(flat), extra), 1)
    return flat.reshape(x_D.shape)


def _gaussian(name: str, x: NDArray[np.float32], ratio: float, seed: int) -> NDArray[np.float32]:
    noisy = np.empty_like(x)
    for n, sample in enumerate(x):
        noisy[n] = gaussian(sample, ratio, rng(seed, "snr", name, n))
    return noisy


def _background(name: str, x: NDArray[np.float32], ratio: float, seed: int) -> NDArray[np.float32]:
    if (x < 0).any() or (x != np.round(x)).any():
        reason = "background activity is added to spikes or counts, and these are neither"
        raise UsageError(f"noise on input '{name}'", reason, "Name it among the events only where it holds such")
    binary = bool(x.max(initial=0) <= 1)
    noisy = np.empty_like(x)
    for n, sample in enumerate(x):
        added = background(sample, ratio, binary, rng(seed, "snr", name, n))
        if added is None:
            reason = f"sample {n} has fewer entries than the noise has spikes at {10 * math.log10(ratio):g} dB"
            raise UsageError(f"noise on input '{name}'", reason, "Take a higher ratio, or counts instead of binary")
        noisy[n] = added
    return noisy
