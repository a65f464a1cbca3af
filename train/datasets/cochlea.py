"""Cochlea-like spikes: the level of each frequency band, turned into spikes by a rule without chance.

Shape suffixes: N samples, S samples of sound, F frames, T time bins, C channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikeport.train.datasets.mel import below_loudest, log_mel

WINDOW_S = 0.025
HOP_S = 0.005


def levels(sound_S: NDArray[np.float32], rate_hz: int, channels: int, range_db: float) -> NDArray[np.float32]:
    """Return x_FC in 0..1: the level of each mel band below the loudest, in windows of 25 ms every 5 ms."""
    return below_loudest(log_mel(sound_S, rate_hz, channels, WINDOW_S, HOP_S), range_db)


def lif_spikes(x_NFC: NDArray[np.float32], decay: float, threshold: float) -> NDArray[np.int64]:
    """Return s_NFC in {0, 1}: one leaky integrate-and-fire neuron a channel, reset by subtraction.

    `v[f] = decay v[f-1] + x[f]; s[f] = v[f] >= threshold; v[f] -= threshold s[f]`, from v = 0.
    """
    spikes_NFC = np.zeros(x_NFC.shape, np.int64)
    v_NC = np.zeros((len(x_NFC), x_NFC.shape[2]), np.float32)
    for frame in range(x_NFC.shape[1]):
        v_NC = np.asarray(np.float32(decay) * v_NC + x_NFC[:, frame], np.float32)
        spikes_NFC[:, frame] = v_NC >= threshold
        v_NC -= np.float32(threshold) * spikes_NFC[:, frame].astype(np.float32)
    return spikes_NFC


def level_crossings(x_NFC: NDArray[np.float32], delta: float) -> NDArray[np.int64]:
    """Return s_NF2C: levels, `delta` apart, that the channel rose through (first C) or fell through (last C).

    The reference begins at level 0 and moves to each level that is crossed; a level that was just crossed one way
    counts the other way only when its neighbour is reached (hysteresis of `delta`), so that a flicker gives nothing.
    """
    count, frames, channels = x_NFC.shape
    crossed_NFD = np.zeros((count, frames, 2 * channels), np.int64)
    reference_NC = np.zeros((count, channels), np.int64)
    for frame in range(frames):
        scaled_NC = x_NFC[:, frame] / np.float32(delta)
        rise_NC = np.maximum(np.floor(scaled_NC).astype(np.int64) - reference_NC, 0)
        fall_NC = np.maximum(reference_NC - np.ceil(scaled_NC).astype(np.int64), 0)
        crossed_NFD[:, frame, :channels], crossed_NFD[:, frame, channels:] = rise_NC, fall_NC
        reference_NC += rise_NC - fall_NC
    return crossed_NFD


def in_bins(s_NFC: NDArray[np.int64], bins: int, binary: bool) -> NDArray[np.float32]:
    """Return x_NTC: the spikes of every F / T frames, counted or, if `binary`, at most 1."""
    count, frames, channels = s_NFC.shape
    counts_NTC = s_NFC.reshape(count, bins, frames // bins, channels).sum(2)
    return np.asarray(np.minimum(counts_NTC, 1) if binary else counts_NTC, np.float32)
