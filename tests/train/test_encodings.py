from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikeport.errors import UsageError
from spikeport.train.encodings import (
    ENCODINGS,
    EncodingSpec,
    SweepParams,
    encode,
    encoded_shape,
    sweep_levels,
)

FRAMES = {"delta": True, "population": True}
SPIKING = ["delta", "latency", "population", "rate", "sweep"]


def _spec(name: str, **params: object) -> EncodingSpec:
    return EncodingSpec(name=name, params=params)


def _column(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_sweep_by_hand() -> None:
    # T = 4: levels 1/8, 3/8, 5/8, 7/8; bit-reversed order 0, 2, 1, 3
    spikes = encode(_spec("sweep"), _column([0.5]), 4)
    assert spikes.flatten().tolist() == [1, 0, 1, 0]
    assert encode(_spec("sweep", order="ascending"), _column([0.5]), 4).flatten().tolist() == [1, 1, 0, 0]
    assert encode(_spec("sweep", order="descending"), _column([0.5]), 4).flatten().tolist() == [0, 0, 1, 1]


@given(timesteps=st.integers(1, 40), low=st.floats(-2, 0), high=st.floats(0.5, 2))
def test_every_order_sweeps_the_same_levels(timesteps: int, low: float, high: float) -> None:
    orders = [
        sweep_levels(timesteps, SweepParams(low=low, high=high, order=order))
        for order in ("ascending", "descending", "scattered")
    ]
    middle = [low + (high - low) * (k + 0.5) / timesteps for k in range(timesteps)]
    torch.testing.assert_close(orders[0], torch.tensor(middle, dtype=torch.float32))
    assert torch.equal(orders[1], orders[0].flip(0))
    assert torch.equal(orders[2].sort().values, orders[0])


@given(values=st.lists(st.floats(-1, 2, width=32), min_size=2, max_size=2), timesteps=st.integers(1, 32))
def test_sweep_counts_are_the_value_to_half_a_level(values: list[float], timesteps: int) -> None:
    counts = encode(_spec("sweep"), _column(values), timesteps).sum(0).flatten()
    wanted = np.clip(values, 0, 1) * timesteps
    assert np.abs(counts.numpy() - wanted).max() <= 0.5 + 1e-4


def test_population_by_hand() -> None:
    x = np.array([[[0.0, 2.0], [-1.5, 0.5]]], np.float32)  # one sample, two frames of two channels
    spikes = encode(_spec("population", frames=True, levels=[-1.0, 1.0]), x, 2)
    assert spikes.shape == (2, 1, 4)
    assert spikes[:, 0].tolist() == [[1, 1, 0, 1], [0, 1, 0, 0]]


def test_latency_by_hand() -> None:
    # T = 5: u = 1 fires at 0, 0.5 at 2, 0.25 at 3; 0 is below the threshold and silent
    spikes = encode(_spec("latency"), _column([1.0, 0.5, 0.25, 0.0]), 5)[..., 0]
    assert [row.nonzero().flatten().tolist() for row in spikes.T] == [[0], [2], [3], []]
    scaled = encode(_spec("latency", low=-1.0, high=3.0), _column([1.0]), 5)[..., 0]
    assert scaled[:, 0].nonzero().flatten().tolist() == [2]


def test_delta_by_hand() -> None:
    x = np.array([[[0.0], [0.5], [0.55], [0.1]]], np.float32)
    spikes = encode(_spec("delta", threshold=0.2), x, 4)
    assert spikes[:, 0].tolist() == [[0, 0], [1, 0], [0, 0], [0, 1]]


def test_rate_is_the_probability_and_is_seeded() -> None:
    x = np.full((1, 5000), 0.3, np.float32)
    spikes = encode(_spec("rate", gain=0.5, offset=0.1), x, 20, seed=1)
    assert float(spikes.mean()) == pytest.approx(0.25, abs=0.01)
    assert torch.equal(spikes, encode(_spec("rate", gain=0.5, offset=0.1), x, 20, seed=1))
    assert not torch.equal(spikes, encode(_spec("rate", gain=0.5, offset=0.1), x, 20, seed=2))


def test_rate_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    encode(_spec("rate"), _column([0.5]), 9)
    assert torch.equal(torch.rand(3), untouched)


def test_direct_repeats_a_still_and_transposes_frames() -> None:
    still = np.array([[1.5, -2.0]], np.float32)
    assert encode(_spec("direct"), still, 3)[:, 0].tolist() == [[1.5, -2.0]] * 3
    frames = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    assert encode(_spec("direct", frames=True), frames, 3)[:, 0].tolist() == frames[0].tolist()


@pytest.mark.parametrize("name", SPIKING)
@settings(max_examples=20, deadline=None)
@given(x=hnp.arrays(np.float32, (2, 5, 3), elements=st.floats(-3, 3, width=32)))
def test_spiking_encodings_give_zeros_and_ones(name: str, x: np.ndarray) -> None:
    frames = {"frames": True} if name in FRAMES else {}
    spikes = encode(_spec(name, **frames), x, 5)
    assert spikes.dtype == torch.float32
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    assert spikes.shape[:2] == (5, 2)
    assert tuple(spikes.shape[2:]) == encoded_shape(_spec(name, **frames), x.shape[1:], 5)


def test_every_registered_encoding_is_tested_here() -> None:
    assert sorted(ENCODINGS) == sorted([*SPIKING, "direct"])


def test_a_spec_survives_json() -> None:
    spec = _spec("population", frames=True, levels=[-1.0, 1.0])
    again = EncodingSpec.model_validate_json(json.dumps(spec.model_dump(mode="json")))
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    assert again == spec
    assert torch.equal(encode(again, x, 3), encode(spec, x, 3))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (_spec("ratee"), "Did you mean 'rate'"),
        (_spec("rate", gian=2.0), "key 'encodings.image.params.gian': there is no such key. Did you mean 'gain'"),
        (_spec("rate", gain="2"), 'encodings.image.params.gain = "2"'),
        (_spec("latency", low=1.0, high=1.0), "it must exceed low=1.0"),
        (_spec("latency", frames=True), "encodings.image.params.frames = true"),
        (_spec("population", frames=True), r"takes frames, \[N, 4, \*shape\]"),
    ],
)
def test_bad_specs_are_refused(spec: EncodingSpec, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        encode(spec, np.zeros((2, 3, 3), np.float32), 4, name="image")
