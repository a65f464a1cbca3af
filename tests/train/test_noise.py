"""Noise at test time: the ratio that is reached, by hand and over random samples, and what must stay as it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeport.errors import UsageError
from spikeport.train.datasets.base import Split
from spikeport.train.noise import GRID_DB, Condition, background, conditions, corrupted, gaussian
from spikeport.train.seeds import rng

SPIKES = frozenset({"spikes", "counts"})


def sample(seed: int = 0, count: int = 5) -> Split:
    draw = np.random.default_rng(seed)
    inputs = {
        "image": 3 * draw.random((count, 2, 40, 40)) + 1,
        "spikes": draw.random((count, 8, 50)) < 0.3,
        "counts": draw.poisson(0.4, (count, 8, 50)),
    }
    return Split({name: x.astype(np.float32) for name, x in inputs.items()}, np.arange(count), bad=("a", "b"))


def test_gaussian_by_hand() -> None:
    # mean(x^2) = (9 + 16) / 2 = 12.5; at 10 dB the noise's variance is 1.25.
    noisy = gaussian(np.array([3.0, 4.0], np.float32), 10.0, np.random.default_rng(0))
    n = np.random.default_rng(0).standard_normal(2, dtype=np.float32)
    np.testing.assert_allclose(noisy, np.array([3.0, 4.0]) + math.sqrt(1.25) * n, rtol=1e-6)


def test_background_by_hand() -> None:
    # 6 events at 3 dB (a ratio of 2): 3 more on 10 entries, of which 4 are empty: 1.2 are seen on average.
    spikes = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1, 0], np.float32)
    seen = []
    for seed in range(1000):
        noisy = background(spikes, 2.0, True, np.random.default_rng(seed))
        assert noisy is not None
        assert (noisy >= spikes).all()
        assert noisy.max() == 1
        seen.append(noisy.sum() - 6)
    assert (min(seen), max(seen)) == (0, 3)
    assert np.mean(seen) == pytest.approx(1.2, abs=0.1)
    assert background(spikes, 0.5, True, np.random.default_rng(0)) is None
    counts = background(spikes, 0.5, False, np.random.default_rng(0))
    assert counts is not None
    assert counts.sum() == 18


@given(st.floats(0, 30), st.integers(0, 50))
def test_background_in_a_binary_input_has_its_number_of_spikes(level_db: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    half = draw.permutation(np.repeat([0.0, 1.0], 300)).astype(np.float32)
    ratio = 10 ** (level_db / 10)
    # The same noise over a signal and over its complement: what one hides, the other shows.
    noisy = [background(x, ratio, True, np.random.default_rng(seed)) for x in (half, 1 - half)]
    shown = [y - x for x, y in zip((half, 1 - half), noisy, strict=True)]
    assert not (shown[0] * shown[1]).any()
    assert abs((shown[0] + shown[1]).sum() - 300 / ratio) <= 0.5


@given(st.floats(0, 30), st.integers(0, 50))
def test_the_ratio_is_reached_in_each_sample(level_db: float, seed: int) -> None:
    clean = sample(seed)
    noisy = corrupted(clean, dict.fromkeys(clean.inputs, level_db), seed, SPIKES)
    for n in range(len(clean)):
        x, y = clean.inputs["image"][n].astype(float), noisy.inputs["image"][n].astype(float)
        assert 10 * math.log10((x**2).mean() / ((y - x) ** 2).mean()) == pytest.approx(level_db, abs=0.5)
        added = noisy.inputs["counts"][n] - clean.inputs["counts"][n]
        assert (added >= 0).all()
        assert abs(added.sum() - clean.inputs["counts"][n].sum() / 10 ** (level_db / 10)) <= 0.5
    assert set(np.unique(noisy.inputs["spikes"])) <= {0.0, 1.0}


def test_noise_falls_everywhere_alike() -> None:
    x = np.zeros((400, 10, 10), np.float32)
    x[:, 0] = 1
    added = corrupted(Split({"spikes": x}, np.zeros(400, np.int64)), {"spikes": 0.0}, 0, SPIKES).inputs["spikes"] - x
    # 4,000 spikes on 100 entries: 40 each, standard deviation 6; those on the signal are not seen.
    assert not added[:, 0].any()
    assert 12 < added[:, 1:].sum(0).min() < added[:, 1:].sum(0).max() < 70
    assert added.sum() == pytest.approx(3600, abs=100)


def test_one_seed_is_one_noise_of_any_amount() -> None:
    clean = sample()
    low, high = (corrupted(clean, dict.fromkeys(clean.inputs, level), 7, SPIKES) for level in (20.0, 0.0))
    ratio = (high.inputs["image"] - clean.inputs["image"]) / (low.inputs["image"] - clean.inputs["image"])
    assert np.median(ratio) == pytest.approx(10, rel=1e-3)
    for name in SPIKES:
        assert (high.inputs[name] >= low.inputs[name]).all()
    again = corrupted(clean, {"image": 0.0}, 7).inputs["image"]
    assert np.array_equal(again, high.inputs["image"])
    assert not np.array_equal(corrupted(clean, {"image": 0.0}, 8).inputs["image"], again)
    first = clean.inputs["image"][:1]
    noise = [again[n] - clean.inputs["image"][n] for n in (0, 1)]
    assert not np.allclose(*noise)
    assert np.array_equal(gaussian(first[0], 1.0, rng(7, "snr", "image", 0)), again[0])


def test_what_is_not_named_and_infinity_stay_clean() -> None:
    clean = sample()
    noisy = corrupted(clean, {"image": math.inf, "spikes": math.inf}, 0, SPIKES)
    assert all(np.array_equal(noisy.inputs[name], x) for name, x in clean.inputs.items())
    assert (noisy.labels is clean.labels, noisy.skipped) == (True, 2)
    silent = Split(
        {"image": np.zeros((1, 4), np.float32), "spikes": np.zeros((1, 4), np.float32)}, np.zeros(1, np.int64)
    )
    noisy = corrupted(silent, {"image": 0.0, "spikes": 0.0}, 0, SPIKES)
    assert not any(x.any() for x in noisy.inputs.values())


@pytest.mark.parametrize(
    ("level", "events", "reason"),
    [
        ({"imag": 1.0}, frozenset(), "Did you mean 'image'"),
        ({"image": math.nan}, frozenset(), "nan dB"),
        ({"image": -math.inf}, frozenset(), "-inf dB"),
        ({"image": 1.0}, frozenset({"image"}), "neither"),
        ({"spikes": -10.0}, SPIKES, "sample 0 has fewer entries.*-10 dB"),
    ],
)
def test_what_cannot_be_is_refused(level: dict[str, float], events: frozenset[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        corrupted(sample(), level, 0, events)


def test_conditions_are_each_input_alone_and_all_together() -> None:
    found = list(conditions(("a", "b"), (0.0, 10.0)))
    assert found == [
        Condition("a", {"a": 0.0}),
        Condition("a", {"a": 10.0}),
        Condition("b", {"b": 0.0}),
        Condition("b", {"b": 10.0}),
        Condition("joint", {"a": 0.0, "b": 0.0}),
        Condition("joint", {"a": 10.0, "b": 10.0}),
    ]
    assert [condition.where for condition in conditions(["a"])] == ["a"] * len(GRID_DB)
