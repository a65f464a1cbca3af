"""Sound to spikes: both encoders by hand, the bands where a tone lies, and what no gain may change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoken_files import tone

from spikeport.errors import UsageError
from spikeport.train.datasets.cochlea import in_bins, level_crossings, levels, lif_spikes
from spikeport.train.datasets.mel import log_mel, mel_bank


def one_channel(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, -1, 1)


def test_lif_by_hand() -> None:
    # v: 0.5, 1.0 -> 0 (fires at its threshold), 0.25, 1.125 -> 0.125, 1.0625 -> 0.0625
    x = one_channel(0.5, 0.75, 0.25, 1.0, 1.0)
    assert lif_spikes(x, decay=0.5, threshold=1.0).ravel().tolist() == [0, 1, 0, 1, 1]


def test_level_crossings_by_hand() -> None:
    # Levels 0, .25, .5, ...: up to 2, held (0.3 lies above level 1), down to 1, up to 4 at once, down to 0.
    x = one_channel(0.5, 0.3, 0.25, 1.0, 0.0)
    assert level_crossings(x, 0.25)[0].T.tolist() == [[2, 0, 0, 3, 0], [0, 0, 1, 0, 4]]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.integers(1, 300))
def test_crossings_follow_the_signal_within_a_level(values: list[int], delta: int) -> None:
    x = one_channel(*values)
    crossed = level_crossings(x, delta)[0]
    reference = np.cumsum(crossed[:, 0] - crossed[:, 1]) * delta
    assert (np.abs(reference - x.ravel()) < delta).all()
    assert (crossed >= 0).all()
    assert not (crossed.min(1) > 0).any()


def test_bins_count_or_mark() -> None:
    s_NFC = np.array([[[1], [1], [0], [0], [0], [2]]])
    assert in_bins(s_NFC, 3, binary=False).ravel().tolist() == [2, 0, 2]
    assert in_bins(s_NFC, 3, binary=True).ravel().tolist() == [1, 0, 1]


def test_a_tone_sounds_in_its_band_whatever_its_gain() -> None:
    x_FC = levels(tone(1000).astype(np.float32), 8000, 64, 50.0)
    assert len(x_FC) == 1 + (1600 - 200) // 40
    edges_mel = np.linspace(2595 * np.log10(1 + 50 / 700), 2595 * np.log10(1 + 4000 / 700), 66)
    nearest = np.abs(edges_mel[1:-1] - 2595 * np.log10(1 + 1000 / 700)).argmin()
    assert set(x_FC.argmax(1).tolist()) == {nearest}
    assert x_FC.max() == 1
    assert x_FC.min() == 0
    np.testing.assert_allclose(levels(tone(1000).astype(np.float32) / 10, 8000, 64, 50.0), x_FC, atol=1e-3)


def test_bands_are_triangles_that_sum_to_one_between_the_first_and_last_centre() -> None:
    bank_CK = mel_bank(20, 1024, 8000)
    assert bank_CK.max() <= 1
    centres = bank_CK.argmax(1)
    assert (np.diff(centres) > 0).all()
    np.testing.assert_allclose(bank_CK.sum(0)[centres[0] + 1 : centres[-1]], 1, atol=1e-5)


def test_power_is_in_decibels() -> None:
    sound = tone(1000).astype(np.float32)
    loud_FC, soft_FC = (log_mel(sound / gain, 8000, 32, 0.025, 0.01) for gain in (1, 10))
    heard = loud_FC > loud_FC.max() - 60
    np.testing.assert_allclose((loud_FC - soft_FC)[heard], 20, atol=0.01)


def test_too_many_bands_are_refused_and_a_short_sound_has_no_frame() -> None:
    with pytest.raises(UsageError, match="500 mel channels"):
        mel_bank(500, 512, 8000)
    with pytest.raises(UsageError, match="a band holds none"):
        mel_bank(4, 512, 8000, low_hz=4000.0)
    assert levels(np.ones(199, np.float32), 8000, 16, 50.0).shape == (0, 16)
