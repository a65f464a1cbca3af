"""`mnistdvs-ntidigits`: MNIST-DVS digits with N-TIDIGITS18 digits of the same class, all spikes.

Recordings are split first, each kind by itself, and paired by class inside a part. Half of each digit's MNIST-DVS
recordings, drawn at random, are the test part, as S-CMRL has it; N-TIDIGITS has its own, whose speakers training
never hears, and validation hears speakers of its own, too. Both kinds have T bins of their own length.

Shape suffixes: N samples, T time bins, P polarities, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.datasets.av_folders import dvs, ntidigits
from spikeport.train.datasets.av_folders.dividing import carved, carved_groups, limited
from spikeport.train.datasets.av_folders.media import check_size
from spikeport.train.datasets.av_folders.spectra import resized
from spikeport.train.datasets.base import DataParams, DatasetKind, Part, Split
from spikeport.train.datasets.pairing import paired
from spikeport.train.datasets.reading import read_all
from spikeport.train.datasets.splitting import Rows
from spikeport.train.seeds import rng

TEST_SHARE = 0.5
PAPER_PIXELS = 28
PAPER_MEAN, PAPER_STD = 0.1307, 0.3081
CROP_PAD = 4
Count = Annotated[int, Field(gt=0)]
Key = TypeVar("Key")
Frames = NDArray[np.float32]


class MnistDvsNtidigitsData(DataParams):
    """Parameters of `mnistdvs-ntidigits`.

    Attributes:
        visual: the folder of MNIST-DVS, see `av_folders.dvs` for its layouts.
        audio: the file `n-tidigits.hdf5`.
        steps: T.
        scale: which recordings of the layout as distributed: the digit's size on the screen.
        pixels: the camera's pixels on a side: 128, or what `.npy` recordings have.
        window: only the central square of so many pixels; the whole camera unless told.
        pool: the side of the squares of pixels that are summed.
        layout: `channels` gives counts of events, [T, 2, H, W] and [T, 64]. `paper` gives S-CMRL's pictures: visual
            [T, 2, 28, 28], normalised as MNIST is, and audio [T, 1, 28, 28], the 64 channels laid out as 8 x 8 and
            resized bilinearly. Its recordings have 28 x 28 pixels; those of 128 x 128 come to it by window 112 and
            pool 4. Fewer than 28 are resized bilinearly; more are refused, as that would leave events out.
        augment: move training recordings by up to 4 pixels each way (the paper's random crop), zeros coming in.
        oh: whether "oh" counts as a zero, or is left out: S-CMRL's own loader has no class for it.
        val_share: share of the training recordings, and of the training speakers, kept for validation.
        per_class: only so many MNIST-DVS recordings of each digit in each part.
        skip_bad: leave bad recordings out and count them, instead of refusing.
    """

    visual: Path
    audio: Path
    steps: Count = 16
    scale: Literal[4, 8, 16] = 4
    pixels: Count = dvs.DVS128_PIXELS
    window: Count | None = None
    pool: Count = 1
    layout: Literal["channels", "paper"] = "channels"
    augment: bool = True
    oh: Literal["zero", "left out"] = "zero"
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    per_class: Count | None = None
    skip_bad: bool = False


class MnistDvsNtidigits:
    """See the module; `split` returns visual and audio in the layout that the parameters say."""

    def __init__(self, params: MnistDvsNtidigitsData, noise: Mapping[str, float], split_seed: int, seed: int) -> None:
        if any(noise.values()):
            reason = "mnistdvs-ntidigits holds spikes, and Gaussian noise is none"
            raise UsageError("key 'data.noise'", reason, "Drop it")
        _check_window(params)
        self._params, self._split_seed, self._seed = params, split_seed, seed
        self._videos = dvs.recordings(params.visual, params.scale)
        self._seen: dict[int, Frames] = {}
        self._heard: dict[tuple[ntidigits.Side, int], Frames] = {}
        self.visual_rows = self._divided_videos()
        with ntidigits.open_file(params.audio) as file:
            self.spoken: dict[ntidigits.Side, ntidigits.Utterances] = {
                side: self._utterances(file, side) for side in ("train", "test")
            }
        self.audio_rows = self._divided_speakers()

    def _divided_videos(self) -> dict[Part, Rows]:
        labels_N, draw = self._videos.labels_N, rng(self._split_seed, "split", "mnist-dvs")
        rest, test = carved(np.arange(len(labels_N)), labels_N, TEST_SHARE, draw)
        train, val = carved(rest, labels_N, self._params.val_share, draw)
        parts: dict[Part, Rows] = {"train": train, "val": val, "test": test}
        return {part: limited(rows, labels_N, self._params.per_class) for part, rows in parts.items()}

    def _utterances(self, file: h5py.File, side: ntidigits.Side) -> ntidigits.Utterances:
        found = ntidigits.utterances(file, side, self._params.oh == "zero")
        if found.misnamed and not self._params.skip_bad:
            reason = f"it names no digit of z, o, 1 to 9 ({len(found.misnamed)} such)"
            fix = "Get the file again, or skip such utterances with --skip-bad"
            raise ArtefactError(f"{self._params.audio}: {side} utterance '{found.misnamed[0]}'", reason, fix)
        return found

    def _divided_speakers(self) -> dict[Part, Rows]:
        speakers_N = self.spoken["train"].speakers_N
        draw = rng(self._split_seed, "split", "n-tidigits")
        rows = np.arange(len(speakers_N))
        train, val = carved_groups(rows, speakers_N, self._params.val_share, draw, "speakers of N-TIDIGITS' train")
        return {"train": train, "val": val, "test": np.arange(len(self.spoken["test"].names))}

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Return one part as pairs; "train" is paired and moved anew each epoch.

        `bad` names the part's bad recordings of either kind, those whose class has no partner in the part, and
        utterances whose name says no digit, which could be any part's.

        Raises:
            ArtefactError: a recording is bad, or without a partner, and is not to be skipped, or none is left.
            UsageError: the part would not fit into memory.
        """
        check_size(len(self.visual_rows[part]), shapes(self._params))
        train = part == "train"
        draw = rng(self._split_seed, "pairs", *(("train", self._seed, epoch) if train else (part,)))
        (videos, bad_videos), (clips, bad_clips) = self._good_videos(part), self._good_clips(part)
        spoken = self.spoken[_side(part)]
        labels_N, spoken_N = self._videos.labels_N[videos], spoken.labels_N[clips]
        lonely = self._lonely(part, videos, spoken_N)
        video_N, clip_N = paired(labels_N, spoken_N, draw)
        visual = np.stack([self._seen[row] for row in videos[video_N]])
        audio = np.stack([self._heard[_side(part), row] for row in clips[clip_N]])
        if train and self._params.augment:
            visual = moved(visual, draw)
        if self._params.layout == "paper":
            visual, audio = (visual - np.float32(PAPER_MEAN)) / np.float32(PAPER_STD), squares(audio)
        misnamed = tuple(
            f"{self._params.audio}: {_side(part)} utterance '{name}': no digit" for name in spoken.misnamed
        )
        bad = bad_videos + bad_clips + misnamed + lonely
        return Split({"visual": visual, "audio": audio}, labels_N[video_N], bad)

    def _good_videos(self, part: Part) -> tuple[Rows, tuple[str, ...]]:
        """Read what was not read before; return the rows that can be used, and what is wrong with the others."""

        def read(row: int) -> Frames:
            events = dvs.read_events(self._videos.paths[row], self._params.pixels)
            return pictured(dvs.frames(events, self._params.steps, self._params.pixels), self._params)

        return _read_rows(self.visual_rows[part], self._seen, lambda row: row, read, self._params.skip_bad)

    def _good_clips(self, part: Part) -> tuple[Rows, tuple[str, ...]]:
        side = _side(part)
        with ntidigits.open_file(self._params.audio) as file:

            def read(row: int) -> Frames:
                return ntidigits.read_counts(file, side, self.spoken[side].names[row], self._params.steps)

            return _read_rows(self.audio_rows[part], self._heard, lambda row: (side, row), read, self._params.skip_bad)

    def _lonely(self, part: Part, videos: Rows, spoken_N: Rows) -> tuple[str, ...]:
        """Return which recordings have no utterance of their class in this part."""
        labels_N = self._videos.labels_N[videos]
        lonely = ~np.isin(labels_N, spoken_N)
        where = f"{self._params.audio}, part '{part}'"
        if lonely.all():
            raise ArtefactError(where, "no pair is left", "Repair the files, or take more of each digit")
        if lonely.any() and not self._params.skip_bad:
            missing = ", ".join(map(str, np.unique(labels_N[lonely])))
            reason = f"no utterance says {missing}, so {lonely.sum()} MNIST-DVS recordings have no partner"
            raise ArtefactError(where, reason, "Get the file again, or skip them with --skip-bad")
        without = f"it has no partner: no utterance in part '{part}' says"
        return tuple(f"{self._videos.paths[n]}: {without} {self._videos.labels_N[n]}" for n in videos[lonely])


def _side(part: Part) -> ntidigits.Side:
    return "test" if part == "test" else "train"


def _read_rows(
    rows: Rows, kept: dict[Key, Frames], key: Callable[[int], Key], read: Callable[[int], Frames], skip_bad: bool
) -> tuple[Rows, tuple[str, ...]]:
    """Read into `kept` what is not there yet; return the rows that could be read, and the faults of the others."""

    def once(row: int) -> Frames:
        if key(row) not in kept:
            kept[key(row)] = read(row)
        return kept[key(row)]

    _, faults = read_all(map(int, rows), once, skip_bad)
    good = np.array([not text for text in faults], bool)
    return rows[good], tuple(text for text in faults if text)


def pictured(counts_TPHW: Frames, params: MnistDvsNtidigitsData) -> Frames:
    """Return [T, 2, H, W]: the window, its pixels summed over squares and, for the paper, resized to 28 x 28."""
    side = params.window or params.pixels
    start = (params.pixels - side) // 2
    x_TPHW = counts_TPHW[..., start : start + side, start : start + side]
    small = side // params.pool
    pooled_TPHW: Frames = x_TPHW.reshape(-1, 2, small, params.pool, small, params.pool).sum((3, 5))
    if params.layout == "channels":
        return pooled_TPHW
    return resized(pooled_TPHW.reshape(-1, small, small), PAPER_PIXELS).reshape(-1, 2, PAPER_PIXELS, PAPER_PIXELS)


def squares(x_NTC: Frames) -> Frames:
    """Return [N, T, 1, 28, 28]: 64 channels, eight a row, resized bilinearly."""
    count, steps, _ = x_NTC.shape
    return resized(x_NTC.reshape(-1, 8, 8), PAPER_PIXELS).reshape(count, steps, 1, PAPER_PIXELS, PAPER_PIXELS)


def moved(x_NTPHW: Frames, draw: np.random.Generator) -> Frames:
    """Return every recording moved by up to 4 pixels each way, all its steps alike, zeros coming in."""
    high, wide = x_NTPHW.shape[-2:]
    padded = np.pad(x_NTPHW, ((0, 0),) * 3 + ((CROP_PAD, CROP_PAD),) * 2)
    out = np.empty_like(x_NTPHW)
    for row, (down, right) in enumerate(draw.integers(0, 2 * CROP_PAD + 1, (len(x_NTPHW), 2))):
        out[row] = padded[row, ..., down : down + high, right : right + wide]
    return out


def _check_window(params: MnistDvsNtidigitsData) -> None:
    side = params.window or params.pixels
    if side > params.pixels:
        raise UsageError(f"window={side}", f"the camera has {params.pixels} pixels on a side", "Lower it")
    if side % params.pool:
        raise UsageError(f"pool={params.pool}", f"{side} pixels do not fall into such squares", "Choose a divisor")
    if params.layout == "paper" and side // params.pool > PAPER_PIXELS:
        left = f"{side // params.pool} x {side // params.pool} pixels are left"
        reason = f"{left} of {params.pixels} x {params.pixels}, and resizing them to 28 x 28 would lose events"
        pool = side // PAPER_PIXELS
        fix = (
            f"Choose data.params.window={PAPER_PIXELS * pool} and data.params.pool={pool}, which sums squares of pixels"
        )
        raise UsageError(f"layout=paper, window={side}, pool={params.pool}", reason, fix)


def shapes(params: MnistDvsNtidigitsData) -> dict[str, tuple[int, ...]]:
    """Return the raw shapes of one sample."""
    if params.layout == "paper":
        side = PAPER_PIXELS
        return {"visual": (params.steps, 2, side, side), "audio": (params.steps, 1, side, side)}
    side = (params.window or params.pixels) // params.pool
    return {"visual": (params.steps, 2, side, side), "audio": (params.steps, ntidigits.CHANNELS)}


KIND = DatasetKind(
    params=MnistDvsNtidigitsData,
    note="pairs are class-matched, not recorded together; MNIST-DVS has no official split, half of it is the test part",
    classes=dvs.CLASSES,
    shapes=shapes,
    open=MnistDvsNtidigits,
    about="event-camera digits with a silicon cochlea's spoken digits; reads "
    "visual/grabbed_data<digit>/scale<n>/*.aedat "
    "or visual/<digit>/*.{aedat,npy}, and the file audio, n-tidigits.hdf5",
    # The paper's pictures are resized and normalised: they hold no counts any more.
    events=lambda params: frozenset({"visual", "audio"} if params.layout == "channels" else ()),
)
