"""A dataset of random numbers, small enough to train on in a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.base import DataParams, DatasetKind, Part, Split
from spikeport.train.recipe import Recipe, parse_recipe
from spikeport.train.seeds import rng


class ToyParams(DataParams):
    samples: int = 24


class Toy:
    fail_at_epoch: ClassVar[int | None] = None
    fail_with: ClassVar[type[BaseException]] = RuntimeError

    def __init__(self, params: ToyParams, noise: Mapping[str, float], split_seed: int, seed: int) -> None:
        self._params, self._seed = params, seed

    def split(self, part: Part, epoch: int = 0) -> Split:
        if part == "train" and epoch and epoch == Toy.fail_at_epoch:
            raise Toy.fail_with("killed")
        draw = rng(self._seed, part, epoch)
        labels = draw.integers(0, 2, self._params.samples)
        image = draw.random((len(labels), 1, 13, 13)) * 0.5 + 0.5 * labels[:, None, None, None]
        audio = draw.standard_normal((len(labels), 4, 3))
        return Split({"image": image.astype(np.float32), "audio": audio.astype(np.float32)}, labels)


def _shapes(params: ToyParams) -> dict[str, tuple[int, ...]]:
    return {"image": (1, 13, 13), "audio": (4, 3)}


# The networks here are tiny: a second thread costs more than it gives.
torch.set_num_threads(1)
DATASETS.register(
    "toy", DatasetKind(ToyParams, "random numbers", 2, _shapes, Toy, about="random numbers; reads no files")
)


@pytest.fixture
def toy_data() -> Iterator[type[Toy]]:
    yield Toy
    Toy.fail_at_epoch, Toy.fail_with = None, RuntimeError


def toy_recipe(**changes: Any) -> Recipe:
    data: dict[str, Any] = {
        "name": "toy",
        "model": {"name": "av-digits", "params": {"channels": [2, 3], "audio": [4], "fused": 5}},
        "data": {"name": "toy"},
        "encodings": {"image": {"name": "rate"}, "audio": {"name": "population", "params": {"frames": True}}},
        "timesteps": 4,
        "training": {"epochs": 4, "batch_size": 8},
    }
    return parse_recipe(data | changes)


@pytest.fixture(name="toy_recipe")
def toy_recipe_fixture() -> Any:
    return toy_recipe
