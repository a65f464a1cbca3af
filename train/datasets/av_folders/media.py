"""A dataset of clips, each a sound and one or more pictures: what all such loaders share.

Shape suffixes: N samples, T frames, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.datasets.av_folders.clips import Rates, read_sound
from spikeport.train.datasets.av_folders.dividing import limited
from spikeport.train.datasets.av_folders.pictures import centre_crop, random_crop, read_frames
from spikeport.train.datasets.av_folders.samples import Sample, labels_of, refuse_faults
from spikeport.train.datasets.av_folders.spectra import FrontEnd, Stft, check, spectrogram, windowed_spectrograms
from spikeport.train.datasets.base import DataParams, Part, Split
from spikeport.train.datasets.reading import fault, of_all
from spikeport.train.datasets.splitting import Rows
from spikeport.train.seeds import rng

MAX_PART_BYTES = 16 << 30
FIX = "Get it again, or skip it with --skip-bad"
Count = Annotated[int, Field(gt=0)]
Picture = NDArray[np.float32]


class MediaParams(DataParams):
    """Parameters that all datasets of clips share.

    Attributes:
        folder: where the data lie.
        frames: the sample is a sequence of so many frames: pictures of the clip and, with each, the spectrogram of an
            equal stretch of its sound. Without it, one picture and one spectrogram of the whole sound.
        size: side of pictures and spectrograms, in pixels.
        resize: the shorter side of a picture before its centre is cut out; twice `size` unless told (the paper's 256
            before 128), which leaves out all but the central quarter of a square picture. `resize = size` keeps it.
        augment: cut training pictures at random and mirror half of them, instead of taking their centre.
        audio: how a sound becomes a picture.
        val_share: share of the training part kept for validation.
        per_class: only so many samples of each class in each part.
        skip_bad: leave bad clips out and count them, instead of refusing.
    """

    folder: Path
    frames: Annotated[int, Field(gt=1)] | None = None
    size: Count = 128
    resize: Count | None = None
    augment: bool = True
    audio: FrontEnd = Stft()
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    per_class: Count | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class Seeds:
    """`split` fixes parts and their order, `training` the random crops."""

    split: int
    training: int


class MediaFolder:
    """Parts of listed clips; `split` returns visual [N, 3, H, W] and audio [N, 1, H, W], or with `frames` [N, T, ...].

    Pictures are normalised with ImageNet's mean and deviation; spectrograms are as their front end makes them.
    """

    def __init__(
        self,
        params: MediaParams,
        samples: Sequence[Sample],
        rows: Mapping[Part, Rows],
        seeds: Seeds,
        stills: bool,
        rates: Rates,
    ) -> None:
        """Take the listed `samples`, the rows of each part, whether a clip has one picture by its layout, its rates."""
        if params.resize is not None and params.resize < params.size:
            raise UsageError(f"resize={params.resize}", f"it is smaller than size={params.size}", "Raise it")
        check(params.audio)
        if not params.skip_bad:
            refuse_faults(samples)
        self._params, self._seeds, self._stills, self._rates = params, seeds, stills, rates
        self._spectrograms: dict[Path, Picture] = {}
        labels_N = labels_of(samples)
        self.parts: dict[Part, tuple[Sample, ...]] = {}
        for part, some in rows.items():
            ordered = rng(seeds.split, "order", part).permutation(np.sort(some))
            self.parts[part] = tuple(samples[row] for row in limited(ordered, labels_N, params.per_class))

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Read one part; the crops of "train" are drawn anew each epoch.

        Raises:
            ArtefactError: a clip is bad and is not to be skipped, or none is left.
            UsageError: the part would not fit into memory.
        """
        samples = self.parts[part]
        check_size(len(samples), shapes(self._params))
        inputs = {name: np.empty((len(samples), *shape), np.float32) for name, shape in shapes(self._params).items()}
        labels: list[int] = []
        bad: list[ArtefactError] = []
        for sample in samples:
            try:
                sound, visual = self._sound(sample), self._visual(sample, part == "train", epoch)
            except ArtefactError as error:
                bad.append(error)
                continue
            inputs["audio"][len(labels)], inputs["visual"][len(labels)] = sound, visual
            labels.append(sample.label)
        if bad and not self._params.skip_bad:
            raise of_all(bad, len(samples))
        if not labels:
            reason = f"none of the {len(samples)} clips of part '{part}' is left"
            raise ArtefactError(str(self._params.folder), reason, "Repair the files, or take more of each class")
        kept = {name: x[: len(labels)] for name, x in inputs.items()}
        return Split(kept, np.array(labels, np.int64), tuple(map(fault, bad)))

    def _sound(self, sample: Sample) -> Picture:
        if sample.fault:
            raise ArtefactError(sample.where, sample.fault, FIX)
        (path,) = sample.sounds
        if path not in self._spectrograms:
            self._spectrograms[path] = _spectrogram(path, self._params, self._rates)
        return self._spectrograms[path]

    def _visual(self, sample: Sample, train: bool, epoch: int) -> Picture:
        """Return [3, H, W], or with `frames` [T, 3, H, W], where T is 1 for a picture that stands still."""
        params = self._params
        frames = read_frames(chosen(sample, params.frames, self._stills))
        if train and params.augment:
            x_TCHW = random_crop(frames, params.size, rng(self._seeds.training, "crop", epoch, sample.name))
        else:
            x_TCHW = centre_crop(frames, params.size, params.resize or 2 * params.size)
        still: Picture = x_TCHW[0]
        return still if params.frames is None else x_TCHW


def chosen(sample: Sample, frames: int | None, stills: bool) -> tuple[Path, ...]:
    """Return the pictures to read: the middle one, or `frames` spread evenly from the first to the last.

    Where the layout has one picture a clip (`stills`), that one, which stands still through all frames.

    Raises:
        ArtefactError: the clip has fewer frames than are wanted.
    """
    pictures = sample.pictures
    if frames is None or stills:
        return (pictures[len(pictures) // 2],)
    if len(pictures) < frames:
        reason = f"the clip has {len(pictures)} frame{'s' * (len(pictures) > 1)}, and {frames} are wanted"
        raise ArtefactError(str(pictures[0]), reason, "Prepare the clips with more frames, or skip it with --skip-bad")
    return tuple(pictures[row] for row in np.linspace(0, len(pictures) - 1, frames).round().astype(int))


def _spectrogram(path: Path, params: MediaParams, rates: Rates) -> Picture:
    sound_S = read_sound(path, params.audio.rate_hz, rates)
    if params.frames is None:
        return spectrogram(sound_S, params.audio, params.size)
    if len(sound_S) < params.frames:
        raise ArtefactError(str(path), f"its {len(sound_S)} samples make no {params.frames} frames", FIX)
    return windowed_spectrograms(sound_S, params.audio, params.size, params.frames)


def shapes(params: MediaParams) -> dict[str, tuple[int, ...]]:
    """Return the raw shapes of one sample."""
    frames = () if params.frames is None else (params.frames,)
    side = params.size
    return {"visual": (*frames, 3, side, side), "audio": (*frames, 1, side, side)}


def check_size(count: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a part that would not fit into memory.

    Raises:
        UsageError: its arrays would exceed 16 GiB.
    """
    size = count * sum(prod(shape) for shape in shapes.values()) * np.dtype(np.float32).itemsize
    if size > MAX_PART_BYTES:
        raise UsageError(
            f"{count} samples of {' and '.join(str(list(shape)) for shape in shapes.values())}",
            f"they fill {size >> 30} GiB, the limit is {MAX_PART_BYTES >> 30} GiB",
            "Take fewer with per_class, or smaller ones",
        )


def refuse_noise(name: str, noise: Mapping[str, float]) -> None:
    """Refuse Gaussian noise, which a loader of files does not add.

    Raises:
        UsageError: some is asked for.
    """
    if any(noise.values()):
        raise UsageError("key 'data.noise'", f"{name} is read as it lies on disk, without added noise", "Drop it")
