"""`nmnist-digits`: digits before an event camera (N-MNIST) with spoken digits (FSDD) of the same class, all as spikes.

The user names two folders: N-MNIST's, which holds `Train/<digit>/<id>.bin`, and that of the spoken digits,
`<digit>_<speaker>_<take>.wav`. Recordings are split first, each kind by itself, and paired by class inside a part, so
that none stands on both sides. A clip becomes spikes by `cochlea`; its T bins share its own length, as those of the
published MNISTDVS-NTIDIGITS do, and the camera's T bins share the first 0.3 s.

Shape suffixes: N samples, S samples of sound, T time bins, F frames, P polarities, H and W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.datasets import cochlea
from spikeport.train.datasets.av_digits import resampled
from spikeport.train.datasets.base import DataParams, DatasetKind, Part, Split
from spikeport.train.datasets.event_table import EventTable
from spikeport.train.datasets.nmnist import MAX_PART_BYTES, PIXELS, Events, NMnist, NMnistData, read_events
from spikeport.train.datasets.pairing import paired
from spikeport.train.datasets.reading import Stamped, option, read_all, stamped
from spikeport.train.datasets.sources import Clips
from spikeport.train.datasets.speakers import speaker_rows
from spikeport.train.datasets.splitting import Rows, split_rows
from spikeport.train.datasets.spoken import RATE_HZ, SpokenFiles, read_spoken, spoken_files
from spikeport.train.datasets.spoken import SOURCE as SPOKEN_SOURCE
from spikeport.train.noise import corrupted
from spikeport.train.seeds import derived, rng

CLASSES = 10
DURATION_US = 300_000
LIF_THRESHOLD = 1.5
LEVEL_DISTANCE = 0.2
EVENTS = frozenset({"visual", "audio"})
NMNIST_SOURCE = "https://www.garrickorchard.com/datasets/n-mnist, CC BY-SA 4.0"


class NMnistDigitsData(DataParams):
    """Parameters of `nmnist-digits`.

    Attributes:
        nmnist: the folder that holds `Train`, and perhaps `Test`.
        recordings: the folder of the spoken digits.
        steps: T.
        pool: pixels on a side that are summed: 1 gives 34 x 34, 2 gives 17 x 17.
        values: an entry is whether there was a spike in its bin, or the number of spikes.
        channels: frequency bands.
        encoder: how a band's level becomes spikes; `level-crossing` gives two channels a band, rises first.
        substeps: steps of the encoder in a bin.
        threshold: of `lif` (none: 1.5), or the distance of the levels of `level-crossing` (none: 0.2); the loudest
            point of a clip is 1.
        decay: of the membrane of `lif`, a step.
        range_db: what is quieter than the loudest point by more than this is silence.
        per_class: only the first so many recordings of each digit, of either kind.
        val_share: share of the training recordings kept for validation.
        split: which clips are for the test: a fifth at random, or all of `test_speakers`.
        test_speakers: whom training never hears, with `split: speakers`.
        val_speakers: whom validation hears alone; none: a random share of the other speakers' clips.
        shift: largest random shift of a training recording, in pixels of the camera.
        crop: largest random share of a training clip cut from each end.
        train_noise_db: noise by input in training only, as a ratio in dB, drawn anew each epoch (S-CMRL's authors
            give it to the visual input); `spikeport.train.noise` says what it is, and adds it to tests.
        skip_bad: leave bad recordings out and count them, instead of refusing.
    """

    nmnist: Path
    recordings: Path
    steps: Annotated[int, Field(gt=0, le=300)] = 16
    pool: Literal[1, 2, 17, 34] = 2
    values: Literal["binary", "counts"] = "binary"
    channels: Annotated[int, Field(gt=0, le=256)] = 64
    encoder: Literal["lif", "level-crossing"] = "lif"
    substeps: Annotated[int, Field(gt=0)] = 2
    threshold: Annotated[float, Field(gt=0)] | None = None
    decay: Annotated[float, Field(ge=0, le=1)] = 0.8
    range_db: Annotated[float, Field(gt=0)] = 50.0
    per_class: Annotated[int, Field(gt=0)] | None = None
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    split: Literal["random", "speakers"] = "random"
    test_speakers: tuple[str, ...] = ()
    val_speakers: tuple[str, ...] = ()
    shift: Annotated[int, Field(ge=0, le=8)] = 2
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    train_noise_db: dict[Literal["visual", "audio"], float] = Field(default_factory=dict)
    skip_bad: bool = False


class NMnistDigits:
    """See the module; `split` returns visual [N, T, 2, H, W] and audio [N, T, C]."""

    def __init__(self, params: NMnistDigitsData, noise: Mapping[str, float], split_seed: int, seed: int) -> None:
        if any(noise.values()):
            raise UsageError("key 'data.noise'", "nmnist-digits holds spikes, and Gaussian noise is none", "Drop it")
        self._params, self._split_seed, self._seed = params, split_seed, seed
        self._load_events()
        self._load_clips()

    def _load_events(self) -> None:
        params = self._params
        if not (params.nmnist / "Train").is_dir():
            fix = f"Name the folder that holds N-MNIST's Train with {option('nmnist')} ({NMNIST_SOURCE})"
            if not params.recordings.is_dir():
                fix += f", and that of the spoken digits with {option('recordings')} ({SPOKEN_SOURCE})"
            raise ArtefactError(str(params.nmnist / "Train"), "there is no such folder", fix)
        official = NMnistData(folder=params.nmnist, per_class=params.per_class, val_share=params.val_share)
        parts = NMnist(official, {}, self._split_seed, self._seed).parts
        files = stamped(path for chosen in parts.values() for path in chosen.paths)
        self._event_paths = [path for path, _, _ in files]
        self._events, faults = _event_table(files, params.skip_bad)
        self._digits = np.concatenate([chosen.labels_N for chosen in parts.values()])
        ends = np.cumsum([len(chosen.paths) for chosen in parts.values()])[:-1]
        rows = dict(zip(parts, np.split(np.arange(len(files)), ends), strict=True))
        self._bad_events = {part: _named(faults, of_part) for part, of_part in rows.items()}
        self.visual_rows: dict[Part, Rows] = {part: _good(faults, of_part) for part, of_part in rows.items()}

    def _load_clips(self) -> None:
        params = self._params
        files = spoken_files(params.recordings, params.per_class, params.skip_bad)
        levels, faults = _clip_levels(stamped(files.paths), params.channels, params.range_db, params.skip_bad)
        self._levels = Clips(levels, files.labels_N)
        self.spoken = files
        rows = clip_rows(files, params, self._split_seed)
        self._bad_clips = {part: _named(faults, of_part) + files.misnamed for part, of_part in rows.items()}
        self.audio_rows: dict[Part, Rows] = {part: _good(faults, of_part) for part, of_part in rows.items()}

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Return one part as pairs; "train" is paired and augmented anew each epoch.

        `bad` names the part's bad recordings of either kind, those whose class has no partner in the part, and clips
        whose name says no digit, which could be any part's.
        """
        params, train = self._params, part == "train"
        draw = rng(self._split_seed, "pairs", *(("train", self._seed, epoch) if train else (part,)))
        visual_N, clip_N, lonely = self.pairs(part, draw)
        _check_size(len(visual_N), params)
        move_N2, cut_N2 = None, None
        if train:
            move_N2 = draw.integers(-params.shift, params.shift + 1, (len(visual_N), 2))
            cut_N2 = draw.uniform(0, params.crop, (len(clip_N), 2))
        bin_us = -(-DURATION_US // params.steps)
        inputs = {
            "visual": self._events.frames(
                visual_N, params.steps, bin_us, params.pool, params.values == "binary", move_N2
            ),
            "audio": self._heard(clip_N, cut_N2),
        }
        bad = self._bad_events[part] + self._bad_clips[part] + lonely
        split = Split(inputs, self._digits[visual_N], bad)
        noise_seed = derived(self._seed, "train noise", epoch)
        return corrupted(split, params.train_noise_db, noise_seed, EVENTS) if train else split  # type: ignore[arg-type]

    def pairs(self, part: Part, draw: np.random.Generator) -> tuple[Rows, Rows, tuple[str, ...]]:
        """Return (event rows, clip rows, what lacks a partner): every event recording once.

        Raises:
            ArtefactError: a class has no clip in this part and `skip_bad` is not set, or nothing is left.
        """
        visual, clips = self.visual_rows[part], self.audio_rows[part]
        digits, spoken = self._digits[visual], self.spoken.labels_N[clips]
        lonely = tuple(
            f"{self._event_paths[row]}: it has no partner: no clip in part '{part}' says {self._digits[row]}"
            for row in visual[~np.isin(digits, spoken)]
        )
        where = f"{self._params.recordings}, part '{part}'"
        if lonely and not self._params.skip_bad:
            missing = sorted({int(digit) for digit in digits} - {int(digit) for digit in spoken})
            reason = f"no clip says {', '.join(map(str, missing))}, so {len(lonely)} event recordings have no partner"
            raise ArtefactError(where, reason, "Add clips, split otherwise, or skip them with --skip-bad")
        if len(lonely) == len(digits):
            raise ArtefactError(where, "no pair is left", "Repair the files, or take more of each digit")
        first_N, second_N = paired(digits, spoken, draw)
        return visual[first_N], clips[second_N], lonely

    def _heard(self, clip_N: Rows, cut_N2: NDArray[np.float64] | None) -> NDArray[np.float32]:
        params = self._params
        x_NFC = resampled(self._levels, clip_N, params.steps * params.substeps, cut_N2)
        if params.encoder == "lif":
            spikes = cochlea.lif_spikes(x_NFC, params.decay, params.threshold or LIF_THRESHOLD)
        else:
            spikes = cochlea.level_crossings(x_NFC, params.threshold or LEVEL_DISTANCE)
        return cochlea.in_bins(spikes, params.steps, params.values == "binary")


def clip_rows(files: SpokenFiles, params: NMnistDigitsData, split_seed: int) -> dict[Part, Rows]:
    """Return disjoint rows of each part, at random or by speaker as the parameters say.

    Raises:
        UsageError: the speakers do not fit the split or the files.
    """
    draw = rng(split_seed, "split", "spoken")
    if params.split == "speakers":
        test, val = params.test_speakers, params.val_speakers
        return speaker_rows(files.labels_N, files.speakers_N, test, val, params.val_share, draw)
    if params.test_speakers or params.val_speakers:
        raise UsageError("data.params.test_speakers", "split is random", "Set split: speakers, or name none")
    return split_rows(files.labels_N, params.val_share, draw)


# Several trainings in one process read each file once; a changed file has another stamp.
@lru_cache(maxsize=2)
def _event_table(files: tuple[Stamped, ...], skip_bad: bool) -> tuple[EventTable, tuple[str, ...]]:
    found, faults = read_all((path for path, _, _ in files), read_events, skip_bad)
    none = np.empty(0, np.int64)
    return EventTable.of([events or Events(none, none, none, none) for events in found]), faults


@lru_cache(maxsize=2)
def _clip_levels(
    files: tuple[Stamped, ...], channels: int, range_db: float, skip_bad: bool
) -> tuple[tuple[NDArray[np.float32], ...], tuple[str, ...]]:
    def heard(path: Path) -> NDArray[np.float32]:
        return cochlea.levels(read_spoken(path), RATE_HZ, channels, range_db)

    found, faults = read_all((path for path, _, _ in files), heard, skip_bad)
    silence = np.zeros((2, channels), np.float32)
    return tuple(silence if level_FC is None else level_FC for level_FC in found), faults


def _good(faults: Sequence[str], rows: Rows) -> Rows:
    return rows[[not faults[row] for row in rows]]


def _named(faults: Sequence[str], rows: Rows) -> tuple[str, ...]:
    return tuple(faults[row] for row in rows if faults[row])


def shapes(params: NMnistDigitsData) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one sample."""
    channels = params.channels * (2 if params.encoder == "level-crossing" else 1)
    side = PIXELS // params.pool
    return {"visual": (params.steps, 2, side, side), "audio": (params.steps, channels)}


def _check_size(count: int, params: NMnistDigitsData) -> None:
    size = count * sum(map(prod, shapes(params).values())) * np.dtype(np.float32).itemsize
    if size > MAX_PART_BYTES:
        reason = f"they fill {size >> 30} GiB, the limit is {MAX_PART_BYTES >> 30} GiB"
        raise UsageError(f"{count} pairs of {params.steps} steps", reason, "Take fewer with per_class, or pool")


KIND = DatasetKind(
    params=NMnistDigitsData,
    note="pairs are class-matched, not recorded together; where N-MNIST's official Test folder is not at hand, the "
    "test part is a fifth of Train; clips are FSDD's, split at random over speakers unless split is speakers",
    classes=CLASSES,
    shapes=shapes,
    open=NMnistDigits,
    about="N-MNIST with spoken digits (FSDD); reads nmnist/{Train,Test}/<digit>/<id>.bin and "
    "recordings/<digit>_<speaker>_<take>.wav",
    events=lambda _: EVENTS,
)
