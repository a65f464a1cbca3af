"""The 5,000 MNIST images in parts that share none, and the recipe that trains the default reset on them."""

from __future__ import annotations

import numpy as np

from spikeport.train.datasets.mnist import Mnist, MnistData
from spikeport.train.datasets.splitting import split_rows
from spikeport.train.recipe import load_recipe
from spikeport.train.samples import build_network, encoded_shapes
from spikeport.train.seeds import rng


def test_two_thousand_are_for_testing_and_the_parts_share_no_image() -> None:
    data = Mnist(MnistData(), {}, 0, 0)
    parts = {part: data.split(part) for part in ("train", "val", "test")}  # type: ignore[arg-type]
    assert {part: len(split) for part, split in parts.items()} == {"train": 2850, "val": 150, "test": 2000}
    assert np.bincount(parts["test"].labels).tolist() == [200] * 10
    assert len(np.unique(np.concatenate(list(data.rows.values())))) == 5000
    image = parts["test"].inputs["image"]
    assert (image.shape[1:], image.dtype, image.min(), image.max()) == ((1, 28, 28), np.float32, 0, 1)


def test_test_samples_are_the_same_for_every_seed_and_training_ones_are_not() -> None:
    one, other = (Mnist(MnistData(), {"image": 0.5}, 0, seed) for seed in (0, 1))
    assert np.array_equal(one.split("test").inputs["image"], other.split("test").inputs["image"])
    first = one.split("train", 0).inputs["image"]
    assert np.array_equal(first, one.split("train", 0).inputs["image"])
    for differs in (one.split("train", 1), other.split("train", 0)):
        assert not np.array_equal(first, differs.inputs["image"])


def test_a_fifth_is_still_a_fifth() -> None:
    """The share in floating point is the whole division that stored splits were made with."""
    for count in range(1, 600):
        rows = split_rows(np.zeros(count, np.int64), 0.1, rng(0))
        assert len(rows["test"]) == count // 5


def test_the_recipe_is_tutorial_5_with_fewer_neurons() -> None:
    recipe = load_recipe("mnist-default-reset")
    assert encoded_shapes(recipe) == {"image": (1, 28, 28)}
    net = build_network(recipe)
    neurons = [m for m in net.modules() if type(m).__name__ == "Leaky"]
    assert [(m.reset_mechanism, float(m.beta) == np.float32(0.95), m.reset_delay) for m in neurons] == [
        ("subtract", True, True)
    ] * 2
    assert [tuple(p.shape) for n, p in net.named_parameters() if n.endswith("weight")] == [(256, 784), (10, 256)]
