"""`av-digits`: MNIST images with spoken digits of the same class.

Images and clips are split first, each by itself and stratified by class, and paired inside a part, so that
no image and no clip stands on both sides. Noise is Gaussian, in standard deviations of each feature (a
pixel, a coefficient of a frame) over the training part.

Shape suffixes: N samples, F frames, C coefficients, D = C x len(context) features a frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spikeport.train.datasets.base import DataParams, DatasetKind, Part, Split
from spikeport.train.datasets.pairing import paired
from spikeport.train.datasets.sources import Clips, mnist_5k, spoken_digits
from spikeport.train.datasets.splitting import Rows, split_rows
from spikeport.train.seeds import rng

CLASSES = 10
COEFFICIENTS = 13


class AvDigitsData(DataParams):
    """Parameters of `av-digits`.

    Attributes:
        frames: every clip is resampled linearly in time to this many frames.
        context: each frame's features are those of these frames around it (zero beyond the ends).
        val_share: share of the training images and clips kept for validation.
        shift: largest random shift of a training image, in pixels.
        crop: largest random share of a training clip cut from each end.
    """

    frames: Annotated[int, Field(gt=0)] = 20
    context: tuple[int, ...] = Field(default=(-4, -2, 0, 2, 4), min_length=1)
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    shift: Annotated[int, Field(ge=0, le=6)] = 1
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.1


class AvDigits:
    """See the module; `split` returns image [N, 1, 28, 28] (pixel / 255) and audio [N, F, D] (z-scores).

    A pixel keeps its own scale: dividing by its deviation would blow up pixels that are almost always
    black. MFCCs, whose coefficients differ in scale, are normalised per (frame, coefficient).
    """

    def __init__(self, params: AvDigitsData, noise: Mapping[str, float], split_seed: int, seed: int) -> None:
        self._params = params
        self._noise = {"image": noise.get("image", 0.0), "audio": noise.get("audio", 0.0)}
        self._split_seed = split_seed
        self._seed = seed
        images, self._clips = mnist_5k(), spoken_digits()
        self._pixels = images.pixels_NHW / 255.0
        self._labels = {"image": images.labels_N, "audio": self._clips.labels_N}
        self.rows = {
            name: split_rows(labels_N, params.val_share, rng(split_seed, "split", name))
            for name, labels_N in self._labels.items()
        }
        train_NFC = resampled(self._clips, self.rows["audio"]["train"], params.frames)
        self._mean_FC, self._std_FC = train_NFC.mean(0), train_NFC.std(0)
        self._pixel_std = self._pixels[self.rows["image"]["train"]].std(0)

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Return one part as pairs; "train" is paired, augmented and made noisy anew each epoch."""
        train = part == "train"
        key = ("train", self._seed, epoch) if train else (part,)
        draw = rng(self._split_seed, "pairs", *key)
        image_N, clip_N = self.pairs(part, draw)
        pixels_NHW = self._pixels[image_N]
        cut_N2 = np.zeros((len(clip_N), 2))
        if train:
            pixels_NHW = shifted(pixels_NHW, self._params.shift, draw)
            cut_N2 = draw.uniform(0, self._params.crop, cut_N2.shape)
        audio_NFC = (resampled(self._clips, clip_N, self._params.frames, cut_N2) - self._mean_FC) / self._std_FC
        pixels_NHW = pixels_NHW + _noise(draw, self._noise["image"], pixels_NHW.shape) * self._pixel_std
        audio_NFC = audio_NFC + _noise(draw, self._noise["audio"], audio_NFC.shape)
        inputs = {
            "image": pixels_NHW[:, None].astype(np.float32),
            "audio": with_context(audio_NFC, self._params.context).astype(np.float32),
        }
        return Split(inputs, self._labels["image"][image_N])

    def pairs(self, part: Part, draw: np.random.Generator) -> tuple[Rows, Rows]:
        """Return (image rows, clip rows): every image once, with a clip of its class, in random order."""
        images, clips = self.rows["image"][part], self.rows["audio"][part]
        image_N, clip_N = paired(self._labels["image"][images], self._labels["audio"][clips], draw)
        return images[image_N], clips[clip_N]


def resampled(clips: Clips, rows: Rows, frames: int, cut_N2: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Return [N, F, C]: clips `rows`, shortened by the shares `cut_N2` (start, end), linearly resampled in time."""
    out = np.empty((len(rows), frames, clips.frames[0].shape[1]), np.float32)
    for n, row in enumerate(rows):
        clip_FC = clips.frames[row]
        start, end = (0.0, 0.0) if cut_N2 is None else cut_N2[n]
        at_F = np.linspace(start, 1 - end, frames) * (len(clip_FC) - 1)
        below = np.minimum(at_F.astype(np.int64), len(clip_FC) - 2)
        share = (at_F - below)[:, None]
        out[n] = (1 - share) * clip_FC[below] + share * clip_FC[below + 1]
    return out


def with_context(x_NFC: NDArray[np.float32], context: tuple[int, ...]) -> NDArray[np.float32]:
    """Return [N, F, C x len(context)]: at frame f the frames f + c, zero beyond the ends."""
    reach = max(abs(offset) for offset in context)
    padded = np.pad(x_NFC, ((0, 0), (reach, reach), (0, 0)))
    frames = x_NFC.shape[1]
    return np.concatenate([padded[:, reach + c : reach + c + frames] for c in context], axis=2)


def shifted(pixels_NHW: NDArray[np.float32], reach: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """Return every image moved by up to `reach` pixels each way, black coming in."""
    if reach == 0:
        return pixels_NHW
    count, height, width = pixels_NHW.shape
    padded = np.pad(pixels_NHW, ((0, 0), (reach, reach), (reach, reach)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    down, right = draw.integers(0, 2 * reach + 1, (2, count))
    moved: NDArray[np.float32] = windows[np.arange(count), down, right]
    return moved


def _noise(draw: np.random.Generator, level: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.float32(level) * draw.standard_normal(shape, dtype=np.float32)


def shapes(params: AvDigitsData) -> dict[str, tuple[int, ...]]:
    """Return the raw shapes of one sample."""
    return {"image": (1, 28, 28), "audio": (params.frames, COEFFICIENTS * len(params.context))}


KIND = DatasetKind(
    params=AvDigitsData,
    note="pairs are class-matched, not recorded together; the rows carry no speaker",
    classes=CLASSES,
    shapes=shapes,
    open=AvDigits,
    about="MNIST images with spoken digits; reads no files of yours: both come with installed packages",
)
