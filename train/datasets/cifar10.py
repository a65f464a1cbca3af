"""`cifar10`: CIFAR-10's pictures, from one file of encoded pictures that the user names.

Shape suffixes: N samples, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spikeport.train.datasets.base import DataParams, DatasetKind, Part, Split
from spikeport.train.datasets.cifar10_file import CLASSES, PIXELS, read_pictures
from spikeport.train.datasets.splitting import Rows, some_of_each
from spikeport.train.seeds import rng

# Mean and standard deviation of each colour over CIFAR-10's training pictures, of values in 0..1.
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)[:, None, None]
STD = np.array([0.2470, 0.2435, 0.2616], np.float32)[:, None, None]


class Cifar10Data(DataParams):
    """Parameters of `cifar10`.

    Attributes:
        file: the `.npz` that `cifar10_file` describes.
        per_class: only the first so many training pictures of each class, those for validation included.
        test_per_class: only the first so many test pictures of each class.
        val_share: share of the training pictures kept for validation.
        shift: largest random shift of a training picture, in pixels; black comes in.
        flip: mirror half of the training pictures.
        skip_bad: leave bad pictures out and count them, instead of refusing.
    """

    file: Path
    per_class: Annotated[int, Field(gt=1)] | None = None
    test_per_class: Annotated[int, Field(gt=0)] | None = None
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    shift: Annotated[int, Field(ge=0, le=16)] = 4
    flip: bool = True
    skip_bad: bool = False


class Cifar10Pictures:
    """Pictures by part; `labels[part]` are their classes and `bad[part]` says which were left out, and why."""

    def __init__(self, params: Cifar10Data, split_seed: int) -> None:
        self._params = params
        train = read_pictures(params.file, "train", params.per_class, params.skip_bad)
        test = read_pictures(params.file, "test", params.test_per_class, params.skip_bad)
        every = np.arange(len(train.labels_N))
        val = some_of_each(every, train.labels_N, params.val_share, rng(split_seed, "split", "cifar10"))
        self._side = {"train": train, "val": train, "test": test}
        self.rows: dict[Part, Rows] = {
            "train": np.setdiff1d(every, val),
            "val": val,
            "test": np.arange(len(test.labels_N)),
        }
        self.labels = {part: self._side[part].labels_N[rows] for part, rows in self.rows.items()}
        # A bad training picture belongs to no part yet: it is told of with both parts that it might be in.
        self.bad = {part: side.bad for part, side in self._side.items()}

    def pictures(self, part: Part, chosen_N: Rows, draw: np.random.Generator) -> NDArray[np.float32]:
        """Return x_N3HW, normalised: `(pixel / 255 - mean) / std` by colour; those of "train" are augmented."""
        pixels = self._side[part].pixels_N3HW[self.rows[part][chosen_N]]
        if part == "train":
            pixels = augmented(pixels, self._params.shift, self._params.flip, draw)
        return (pixels.astype(np.float32) / np.float32(255) - MEAN) / STD


class Cifar10:
    """See the module; `split` returns image [N, 3, 32, 32]."""

    def __init__(self, params: Cifar10Data, noise: Mapping[str, float], split_seed: int, seed: int) -> None:
        self._noise, self._split_seed, self._seed = noise.get("image", 0.0), split_seed, seed
        self.source = Cifar10Pictures(params, split_seed)

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Return one part; "train" is augmented, made noisy and put in order anew each epoch."""
        draw = rng(self._split_seed, "pictures", *(("train", self._seed, epoch) if part == "train" else (part,)))
        labels = self.source.labels[part]
        chosen_N = draw.permutation(len(labels))
        image = self.source.pictures(part, chosen_N, draw)
        if self._noise:
            image += np.float32(self._noise) * draw.standard_normal(image.shape, dtype=np.float32)
        return Split({"image": image}, labels[chosen_N], self.source.bad[part])


def augmented(pixels_N3HW: NDArray[np.uint8], shift: int, flip: bool, draw: np.random.Generator) -> NDArray[np.uint8]:
    """Return every picture moved by up to `shift` pixels each way, black coming in, and if `flip` half mirrored."""
    count, _, height, width = pixels_N3HW.shape
    padded = np.pad(pixels_N3HW, ((0, 0), (0, 0), (shift, shift), (shift, shift)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    down, right = draw.integers(0, 2 * shift + 1, (2, count))
    moved = windows[np.arange(count), :, down, right]
    mirrored = draw.random(count) < 0.5 * flip
    moved[mirrored] = moved[mirrored, :, :, ::-1]
    return moved


def shapes(params: Cifar10Data) -> dict[str, tuple[int, ...]]:
    """Return the shape of one sample."""
    return {"image": (3, PIXELS, PIXELS)}


KIND = DatasetKind(
    params=Cifar10Data,
    note="CIFAR-10 as the named file holds it: where that is encoded with loss, figures are not those of the original",
    classes=CLASSES,
    shapes=shapes,
    open=Cifar10,
    about="CIFAR-10's pictures; reads the .npz file of encoded pictures that the parameter file names",
)
