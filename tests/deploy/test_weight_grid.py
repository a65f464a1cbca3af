"""The grid that training and deployment share: nearest levels, and never worse with more bits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikeport.weight_grid import MOST_SCORED, Values, best_units, levels, nearest

BITS = range(1, 9)
QUICK = settings(deadline=None, max_examples=40)
weights = st.lists(st.floats(-10, 10, width=32).filter(lambda w: abs(w) > 1e-3), min_size=1, max_size=40).map(np.array)


@QUICK
@given(weights, st.floats(0.01, 3), st.sampled_from(BITS))
def test_nearest_is_what_a_search_over_all_levels_finds(values: NDArray[np.float64], unit: float, bits: int) -> None:
    low, high = levels(bits)
    allowed = np.array([k for k in range(low, high + 1) if bits > 1 or k])
    found = nearest(values, unit, bits)
    assert set(found) <= set(allowed)
    distances = np.abs(values[:, None] - allowed * unit)
    np.testing.assert_allclose(np.abs(values - found * unit), distances.min(axis=1), rtol=1e-9, atol=1e-12)


@QUICK
@given(weights, st.floats(0.01, 3), st.sampled_from(BITS))
def test_a_weight_within_the_levels_is_off_by_half_a_unit_at_most(
    values: NDArray[np.float64], unit: float, bits: int
) -> None:
    low, high = (level * unit for level in levels(bits))
    inside = values[(values >= low) & (values <= high)]
    half = unit if bits == 1 else unit / 2
    assert np.all(np.abs(inside - nearest(inside, unit, bits) * unit) <= half * (1 + 1e-9))


@QUICK
@given(st.lists(weights, min_size=1, max_size=2))
def test_more_bits_never_increase_the_error(connections: list[NDArray[np.float64]]) -> None:
    values = [Values.of(x) for x in connections]
    errors = []
    for bits in BITS:
        units = best_units(values, bits)
        errors.append(sum(v.error(u, bits) for v, u in zip(values, units, strict=True)))
        octaves = np.log2(units[-1] / units[0])
        assert octaves == pytest.approx(round(octaves), abs=1e-9)
    assert all(more <= less * (1 + 1e-9) for less, more in pairwise(errors))


@QUICK
@given(st.integers(1, 127), st.floats(0.01, 5), st.integers(2, 8))
def test_weights_on_a_grid_are_found(most: int, unit: float, bits: int) -> None:
    low, high = levels(bits)
    k = np.clip(np.array([most, -most, 1, most // 2]), low, high)
    values = Values.of(k * unit)
    assert values.error(best_units([values], bits)[0], bits) <= 1e-18 * values.largest**2


def test_one_bit_is_the_sign_and_its_unit_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    (unit,) = best_units([Values.of(values)], 1)
    assert unit == pytest.approx(np.abs(values).mean(), rel=0.01)
    np.testing.assert_array_equal(nearest(np.array([-0.1, 0.0, 3.0]), unit, 1), [-1, 0, 1])


def test_no_weights_have_no_unit() -> None:
    assert best_units([Values.of(np.zeros(3))], 4) == [0.0]
    assert best_units([], 4) == []
    assert best_units([Values.of(np.zeros(3)), Values.of(np.ones(2))], 4)[0] == 0.0


def test_many_weights_are_thinned_evenly() -> None:
    values = Values.of(np.linspace(-1, 1, 3 * MOST_SCORED))
    assert len(values.values) == MOST_SCORED
    assert values.largest == 1
