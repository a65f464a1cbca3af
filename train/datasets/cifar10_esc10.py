"""`cifar10-esc10`: CIFAR-10's pictures with ESC-10's sounds, paired by class index: a proxy for CIFAR10-AV.

What is seen and what is heard have nothing in common but a number: class 0 is an airplane and a dog's bark. So it
measures how two modalities that agree on a label are fused, and nothing about CIFAR10-AV itself, whose sounds are not
published. Pictures keep CIFAR-10's parts, sounds are parted by ESC-10's folds, so that neither is on both sides.

Shape suffixes: N samples, C mel bands, T frames, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.datasets import cifar10
from spikeport.train.datasets.base import DatasetKind, Part, Split
from spikeport.train.datasets.cifar10_file import CLASSES
from spikeport.train.datasets.esc10 import BANDS, FRAMES, read_clips
from spikeport.train.datasets.pairing import paired
from spikeport.train.datasets.splitting import Rows
from spikeport.train.seeds import rng


class Cifar10Esc10Data(cifar10.Cifar10Data):
    """Parameters of `cifar10-esc10`: those of `cifar10`, and of the sounds.

    Attributes:
        sounds: the tar of ESC-10.
        val_folds: whose clips are for validation.
        test_folds: whose clips are for the test.
        roll: largest random shift of a training clip in time, in frames of 64; what leaves at one end comes in at the
            other.
    """

    sounds: Path
    val_folds: tuple[int, ...] = Field(default=(4,), min_length=1)
    test_folds: tuple[int, ...] = Field(default=(5,), min_length=1)
    roll: Annotated[int, Field(ge=0, le=32)] = 8


class Cifar10Esc10:
    """See the module; `split` returns image [N, 3, 32, 32] and audio [N, 1, 64, 64] (z-scores over training)."""

    def __init__(self, params: Cifar10Esc10Data, noise: Mapping[str, float], split_seed: int, seed: int) -> None:
        self._params, self._noise = params, noise
        self._split_seed, self._seed = split_seed, seed
        self.pictures = cifar10.Cifar10Pictures(params, split_seed)
        self.clips = read_clips(params.sounds, params.skip_bad)
        parts = fold_rows(self.clips.folds_N, params.val_folds, params.test_folds)
        faults = self.clips.faults
        good_N = np.array([not text for text in faults])
        self._bad_clips = {part: tuple(faults[row] for row in rows if faults[row]) for part, rows in parts.items()}
        self.clip_rows: dict[Part, Rows] = {part: rows[good_N[rows]] for part, rows in parts.items()}
        heard = self.clips.x_N1CT[self.clip_rows["train"]]
        if not len(heard):
            raise ArtefactError(str(params.sounds), "no training clip is left", "Repair it, or choose other folds")
        self._mean, self._std = heard.mean(), heard.std()

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Return one part as pairs, every picture once; "train" is paired, augmented and made noisy anew each epoch.

        `bad` names bad pictures and clips, and pictures whose class has no clip in the part.

        Raises:
            ArtefactError: a class has no clip in this part and `skip_bad` is not set.
        """
        draw = rng(self._split_seed, "pairs", *(("train", self._seed, epoch) if part == "train" else (part,)))
        labels, clips = self.pictures.labels[part], self.clip_rows[part]
        spoken = self.clips.labels_N[clips]
        missing = sorted(set(labels.tolist()) - set(spoken.tolist()))
        if missing and (not self._params.skip_bad or not len(spoken)):
            reason = f"no clip in part '{part}' is of class {', '.join(map(str, missing))}"
            raise ArtefactError(str(self._params.sounds), reason, "Choose other folds, or skip them with --skip-bad")
        picture_N, clip_N = paired(labels, spoken, draw)
        inputs = {
            "image": self.pictures.pictures(part, picture_N, draw),
            "audio": self._heard(clips[clip_N], self._params.roll if part == "train" else 0, draw),
        }
        for name, level in self._noise.items():
            inputs[name] += np.float32(level) * draw.standard_normal(inputs[name].shape, dtype=np.float32)
        lonely = tuple(
            f"{self._params.file}: picture {row}: no clip in part '{part}' is of its class {label}"
            for row, label in zip(self.pictures.rows[part], labels, strict=True)
            if label in missing
        )
        return Split(inputs, labels[picture_N], self.pictures.bad[part] + self._bad_clips[part] + lonely)

    def _heard(self, clip_N: Rows, roll: int, draw: np.random.Generator) -> NDArray[np.float32]:
        by_N = draw.integers(-roll, roll + 1, len(clip_N))
        frame_NT = (np.arange(FRAMES) - by_N[:, None]) % FRAMES
        x_N1CT = np.take_along_axis(self.clips.x_N1CT[clip_N], frame_NT[:, None, None], axis=3)
        return np.asarray((x_N1CT - self._mean) / self._std, np.float32)


def fold_rows(folds_N: Rows, val: tuple[int, ...], test: tuple[int, ...]) -> dict[Part, Rows]:
    """Return disjoint rows of each part; a clip whose name says no fold is a bad one, and counted with training.

    Raises:
        UsageError: a fold is not there, is named twice, or none is left for training.
    """
    known, named = sorted({fold for fold in folds_N.tolist() if fold >= 0}), val + test
    if not set(named) < set(known) or len(set(named)) < len(named):
        reason = "each fold is for one part, and some are left for training"
        raise UsageError(f"val_folds {list(val)}, test_folds {list(test)}", reason, f"Choose from {known}")
    kept = {"train": ~np.isin(folds_N, named), "val": np.isin(folds_N, val), "test": np.isin(folds_N, test)}
    return {part: np.flatnonzero(mask) for part, mask in kept.items()}  # type: ignore[misc]


def shapes(params: Cifar10Esc10Data) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one sample."""
    return {**cifar10.shapes(params), "audio": (1, BANDS, FRAMES)}


KIND = DatasetKind(
    params=Cifar10Esc10Data,
    note="a proxy for CIFAR10-AV: CIFAR-10 pictures with ESC-10 sounds paired by class index alone; no figure on it is "
    "one on CIFAR10-AV; pictures as the named file holds them; sounds are parted by fold",
    classes=CLASSES,
    shapes=shapes,
    open=Cifar10Esc10,
    about="CIFAR-10's pictures with ESC-10's sounds; reads the .npz named by file and the tar named by sounds",
)
