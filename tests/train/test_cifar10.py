"""CIFAR-10 out of one file: normalisation and augmentation by hand, the parts, what is refused or skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cifar_files import SHARED, arrays, encoded, flat, write_cifar

from spikeport.errors import ArtefactError
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.cifar10 import MEAN, STD, Cifar10, augmented, shapes

PARTS = ("train", "val", "test")


def opened(file: Path, noise: dict[str, float] | None = None, seed: int = 0, **params: Any) -> Cifar10:
    kind = DATASETS.get("cifar10")
    data = kind.open(validated(kind.params, {"file": str(file), **params}, "data.params"), noise or {}, 0, seed)
    assert isinstance(data, Cifar10)
    return data


def test_pictures_are_normalised_and_carry_their_label(tmp_path: Path) -> None:
    file = write_cifar(tmp_path / "c.npz")
    data = opened(file)
    assert {part: len(data.split(part)) for part in PARTS} == {"train": 90, "val": 10, "test": 20}
    assert np.bincount(data.split("val").labels).tolist() == [1] * 10
    test = data.split("test")
    image = test.inputs["image"]
    assert image.shape == (20, *shapes(validated(DATASETS.get("cifar10").params, {"file": str(file)}, ""))["image"])
    assert image.dtype == np.float32
    red = np.round((image[:, 0] * STD[0] + MEAN[0]) * 255)
    assert (red[:, 5, 5] == 20 * test.labels).all()
    assert (red[:, 0, 0] == 255).all()
    assert len(set(test.labels[:8].tolist())) > 2  # in no order of classes
    assert image[0, 2, 5, 5] == pytest.approx(-0.4465 / 0.2616, rel=1e-5)


def test_parts_share_no_picture(tmp_path: Path) -> None:
    data = opened(write_cifar(tmp_path / "c.npz"), shift=0, flip=False)
    # The green of a training picture is its number.
    green = [
        np.round((data.split(p).inputs["image"][:, 1, 5, 5] * STD[1, 0] + MEAN[1, 0]) * 255) for p in ("train", "val")
    ]
    assert sorted(np.concatenate(green).tolist()) == list(range(100))


def test_augmentation_moves_and_mirrors() -> None:
    pixels = np.zeros((400, 3, 6, 6), np.uint8)
    pixels[:, :, 2, 1] = 9
    moved = augmented(pixels, 1, True, np.random.default_rng(0))
    assert (moved.sum((1, 2, 3)) == 27).all()
    down, right = np.array(np.nonzero(moved[:, 0]))[1:]
    assert set(down.tolist()) == {1, 2, 3}
    assert set(right.tolist()) == {0, 1, 2, 3, 4, 5}  # 0..2, and mirrored 3..5
    assert np.array_equal(augmented(pixels, 0, False, np.random.default_rng(0)), pixels)
    # Moved out of the field: black comes in.
    assert augmented(np.full((50, 3, 6, 6), 9, np.uint8), 2, False, np.random.default_rng(0)).min() == 0


def test_training_changes_by_epoch_and_seed_and_the_rest_by_neither(tmp_path: Path) -> None:
    file = write_cifar(tmp_path / "c.npz")
    one, same, other = opened(file), opened(file), opened(file, seed=1)
    images = [data.split("train", 4).inputs["image"] for data in (one, same, other)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert not np.array_equal(images[0], one.split("train", 5).inputs["image"])
    assert np.array_equal(one.split("test", 1).inputs["image"], other.split("test", 2).inputs["image"])
    noisy = opened(file, {"image": 0.5}).split("test").inputs["image"] - one.split("test").inputs["image"]
    assert noisy.std() == pytest.approx(0.5, rel=0.02)


def test_limits_take_the_first_of_each_class(tmp_path: Path) -> None:
    data = opened(write_cifar(tmp_path / "c.npz"), per_class=4, test_per_class=1)
    assert {part: len(data.split(part)) for part in PARTS} == {"train": 30, "val": 10, "test": 10}


def test_bad_pictures_are_named_counted_and_skipped(tmp_path: Path) -> None:
    labels = [label for _ in range(5) for label in range(10)]
    pictures = [encoded(flat(label)) for label in labels]
    pictures[3] = b"no picture"
    pictures[7] = encoded(np.zeros((28, 32, 3), np.uint8))
    pictures[8] = pictures[8][:60]
    labels[11] = 10
    file = write_cifar(tmp_path / "c.npz", **arrays(pictures, labels, "train"))
    with pytest.raises(ArtefactError, match=r"picture 3 of 'train': it cannot be decoded.*\(4 of 50 are bad\).*--skip"):
        opened(file)
    data = opened(file, skip_bad=True)
    assert {part: data.split(part).skipped for part in PARTS} == {"train": 4, "val": 4, "test": 0}
    assert len(data.split("train")) + len(data.split("val")) == 46


@pytest.mark.parametrize(
    ("picture", "label", "reason"),
    [
        (encoded(np.zeros((28, 32, 3), np.uint8)), 0, "it is 32 x 28 pixels, and 32 x 32 are expected"),
        (encoded(flat(0)), 12, "its label 12 is not in 0..9"),
    ],
    ids=["size", "label"],
)
def test_what_is_wrong_with_a_picture_is_told(tmp_path: Path, picture: bytes, label: int, reason: str) -> None:
    file = write_cifar(tmp_path / "c.npz", **arrays([picture], [label], "test"))
    with pytest.raises(ArtefactError, match=rf"picture 0 of 'test': {reason}"):
        opened(file)
    with pytest.raises(ArtefactError, match="'test' holds no picture that can be used"):
        opened(file, skip_bad=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_offsets": np.array([0, 5])}, "2 'train' offsets do not cut"),
        ({"train_offsets": np.arange(101)[::-1]}, "101 'train' offsets do not cut"),
        ({"train_offsets": np.arange(101) * 10_000}, "101 'train' offsets do not cut"),
        ({"test_label": np.zeros(20)}, "'test' arrays are not"),
        ({"train_jpeg": np.zeros(9)}, "'train' arrays are not"),
    ],
)
def test_another_content_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArtefactError, match=reason):
        opened(write_cifar(tmp_path / "c.npz", **changes))


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"there is no such file.*kriz/cifar"):
        opened(tmp_path / "gone.npz")
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    with pytest.raises(ArtefactError, match=r"'train' pictures cannot be read.*train_jpeg, train_offsets, train_label"):
        opened(tmp_path / "x.npz")
    (tmp_path / "y.npz").write_bytes(b"nothing")
    with pytest.raises(ArtefactError, match="'train' pictures cannot be read"):
        opened(tmp_path / "y.npz")


@pytest.mark.skipif(not (SHARED / "cifar10_jpeg.npz").is_file(), reason="the real pictures are not on this machine")
def test_the_real_pictures() -> None:
    data = opened(SHARED / "cifar10_jpeg.npz", per_class=20, test_per_class=20, shift=0)
    train = data.split("train")
    assert np.bincount(train.labels).tolist() == [18] * 10
    assert np.abs(train.inputs["image"].mean((0, 2, 3))).max() < 0.25
    assert np.abs(train.inputs["image"].std((0, 2, 3)) - 1).max() < 0.15
