"""`nmnist`: MNIST digits that an event camera recorded (N-MNIST), as counts of events a time bin.

The user names the folder: `Train/<digit>/<id>.bin` and, where it is at hand, `Test/<digit>/<id>.bin`, as N-MNIST is
published. Without `Test`, a fifth of each digit's recordings in `Train` is the test part.

Shape suffixes: N samples, T time bins, P polarities, H and W pixels, E events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.datasets.base import DataParams, DatasetKind, Part, Split
from spikeport.train.datasets.reading import option, read_all
from spikeport.train.datasets.splitting import split_rows
from spikeport.train.seeds import rng

CLASSES = 10
PIXELS = 34
EVENT_BYTES = 5
MAX_PART_BYTES = 16 << 30


class NMnistData(DataParams):
    """Parameters of `nmnist`.

    Attributes:
        folder: the folder that holds `Train`.
        bin_us: width of a time bin, in microseconds, the unit of the camera's clock.
        steps: number of bins; events after the last are left out (recordings last 0.30 to 0.32 s).
        values: an entry is the number of events, or whether there was one.
        val_share: share of the training recordings kept for validation.
        per_class: only the first so many recordings of each digit and folder.
        skip_bad: leave unreadable recordings out and count them, instead of refusing.
    """

    folder: Path
    bin_us: Annotated[int, Field(gt=0)] = 1000
    steps: Annotated[int, Field(gt=0)] = 300
    values: Literal["counts", "binary"] = "counts"
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    per_class: Annotated[int, Field(gt=0)] | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class Recordings:
    """Files with their digits, not read yet."""

    paths: tuple[Path, ...]
    labels_N: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Recordings:
        """Return the recordings at `rows`."""
        return Recordings(tuple(self.paths[row] for row in rows), self.labels_N[rows])


@dataclass(frozen=True)
class Events:
    """One recording: time, polarity (0 or 1), row and column of each event."""

    t_us_E: NDArray[np.int64]
    p_E: NDArray[np.int64]
    y_E: NDArray[np.int64]
    x_E: NDArray[np.int64]


class NMnist:
    """See the module; `split` returns events [N, T, P, H, W], channel = polarity."""

    def __init__(self, params: NMnistData, noise: Mapping[str, float], split_seed: int, seed: int) -> None:
        if any(noise.values()):
            raise UsageError("key 'data.noise'", "nmnist holds events, and Gaussian noise is none", "Drop it")
        self._params = params
        train = recordings(params.folder / "Train", params.per_class)
        rows = split_rows(train.labels_N, params.val_share, rng(split_seed, "split", "nmnist"))
        official = params.folder / "Test"
        if official.is_dir():
            rows["train"] = np.concatenate([rows["train"], rows["test"]])
        parts = {part: train.take(rng(split_seed, "order", part).permutation(rows[part])) for part in rows}
        if official.is_dir():
            test = recordings(official, params.per_class)
            parts["test"] = test.take(rng(split_seed, "order", "test").permutation(len(test.paths)))
        self.parts: dict[Part, Recordings] = parts

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Return one part; every epoch sees the same recordings."""
        split = read_split(self.parts[part], self._params)
        if not len(split):
            reason = f"none of the {len(self.parts[part].paths)} recordings of part '{part}' is left"
            raise ArtefactError(str(self._params.folder), reason, "Repair the files, or take more of each digit")
        return split


def recordings(folder: Path, per_class: int | None = None) -> Recordings:
    """Return the recordings `<digit>/<id>.bin` in `folder`, by digit and name.

    Raises:
        ArtefactError: the folder, or a digit's recordings, are not there.
    """
    fix = f"Name the folder that holds Train/0 ... Train/9 with {option('folder')}"
    if not folder.is_dir():
        raise ArtefactError(str(folder), "there is no such folder", fix)
    paths: list[Path] = []
    labels: list[int] = []
    for digit in range(CLASSES):
        found = sorted((folder / str(digit)).glob("*.bin"))[:per_class]
        if not found:
            raise ArtefactError(str(folder / str(digit)), "it holds no .bin recording", fix)
        paths += found
        labels += [digit] * len(found)
    return Recordings(tuple(paths), np.array(labels, np.int64))


def read_split(chosen: Recordings, params: NMnistData) -> Split:
    """Read and bin recordings; none may be left.

    Raises:
        ArtefactError: one is unreadable, and the parameters do not say to skip it.
        UsageError: together they would not fit into memory.
    """
    _check_size(len(chosen.paths), params)
    found, faults = read_all(chosen.paths, lambda path: binned(read_events(path), params), params.skip_bad)
    binned_N = [counts for counts in found if counts is not None]
    bad = tuple(text for text in faults if text)
    events = np.array(binned_N, np.float32).reshape(len(binned_N), *shapes(params)["events"])
    labels_N = chosen.labels_N[[counts is not None for counts in found]]
    return Split({"events": events}, labels_N, bad)


def read_events(path: Path) -> Events:
    """Read one recording.

    An event is 40 bits: x (8), y (8), polarity (1), time in microseconds (23), most significant first.

    Raises:
        ArtefactError: it is missing, truncated, empty, or no 34 x 34 recording.
    """
    fix = "Download it again, or skip it with --skip-bad"
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ArtefactError(str(path), f"it cannot be read ({error.strerror})", fix) from None
    if len(content) == 0:
        raise ArtefactError(str(path), "it holds no event", fix)
    if len(content) % EVENT_BYTES:
        reason = f"its {len(content)} bytes are no whole number of events of {EVENT_BYTES} bytes: it is truncated"
        raise ArtefactError(str(path), reason, fix)
    x_E, y_E, high_E, mid_E, low_E = content.reshape(-1, EVENT_BYTES).astype(np.int64).T
    outside = np.flatnonzero((x_E >= PIXELS) | (y_E >= PIXELS))
    if len(outside):
        first = outside[0]
        reason = f"event {first} lies at ({x_E[first]}, {y_E[first]}), outside of {PIXELS} x {PIXELS} pixels"
        raise ArtefactError(str(path), reason, fix)
    return Events((high_E & 127) << 16 | mid_E << 8 | low_E, high_E >> 7, y_E, x_E)


def binned(events: Events, params: NMnistData) -> NDArray[np.uint16]:
    """Return [T, P, H, W]: the events of each bin, polarity and pixel, counted or, if binary, at most 1."""
    shape = shapes(params)["events"]
    step_E = events.t_us_E // params.bin_us
    kept = step_E < params.steps
    where = (step_E[kept], events.p_E[kept], events.y_E[kept], events.x_E[kept])
    counts = np.bincount(np.ravel_multi_index(where, shape), minlength=prod(shape)).reshape(shape)
    return (np.minimum(counts, 1) if params.values == "binary" else counts).astype(np.uint16)


def shapes(params: NMnistData) -> dict[str, tuple[int, ...]]:
    """Return the raw shape of one sample."""
    return {"events": (params.steps, 2, PIXELS, PIXELS)}


def _check_size(count: int, params: NMnistData) -> None:
    size = count * prod(shapes(params)["events"]) * np.dtype(np.float32).itemsize
    if size > MAX_PART_BYTES:
        raise UsageError(
            f"{count} recordings of {params.steps} steps",
            f"they fill {size >> 30} GiB, the limit is {MAX_PART_BYTES >> 30} GiB",
            "Take fewer with per_class, or fewer and wider bins with steps and bin_us",
        )


KIND = DatasetKind(
    params=NMnistData,
    note="N-MNIST; where its official Test folder is not at hand, the test part is a fifth of Train",
    classes=CLASSES,
    shapes=shapes,
    open=NMnist,
    about="digits before an event camera (N-MNIST); reads folder/{Train,Test}/<digit>/<id>.bin",
    events=lambda _: frozenset({"events"}),
)
