"""Log-mel energies of sounds.

Shape suffixes: S samples of sound, F frames, W samples of a window, K frequencies, C channels.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from spikeport.errors import UsageError

LEAST_POWER = 1e-10


def log_mel(
    sound_S: NDArray[np.float32], rate_hz: int, channels: int, window_s: float, hop_s: float, low_hz: float = 50.0
) -> NDArray[np.float32]:
    """Return level_FC = 10 log10(P + 1e-10), in dB: the power P of each frame in each mel band.

    A frame is a Hann window of `window_s`, and the next begins `hop_s` later; nothing is padded, so a sound shorter
    than a window has no frame.

    Raises:
        UsageError: the bands are too narrow for the window's frequencies.
    """
    window, hop = round(window_s * rate_hz), round(hop_s * rate_hz)
    if len(sound_S) < window:
        return np.empty((0, channels), np.float32)
    fft_size = 2 ** int(np.ceil(np.log2(2 * window)))
    frames_FW = np.lib.stride_tricks.sliding_window_view(sound_S, window)[::hop]
    spectrum_FK = scipy.fft.rfft(frames_FW * np.hanning(window).astype(np.float32), fft_size)
    power_FK = (spectrum_FK.real**2 + spectrum_FK.imag**2).astype(np.float32)
    power_FC = power_FK @ mel_bank(channels, fft_size, rate_hz, low_hz).T
    level_FC: NDArray[np.float32] = 10 * np.log10(power_FC + np.float32(LEAST_POWER))
    return level_FC


def below_loudest(level_FC: NDArray[np.float32], range_db: float) -> NDArray[np.float32]:
    """Return x_FC in 0..1: `1 + (level - loudest level) / range_db`, 0 where it is quieter than that range.

    The loudest point of every sound is 1, whatever the recording's gain.
    """
    if not len(level_FC):
        return level_FC
    return np.asarray(np.maximum(1 + (level_FC - level_FC.max()) / np.float32(range_db), 0), np.float32)


@lru_cache(maxsize=8)
def mel_bank(channels: int, fft_size: int, rate_hz: int, low_hz: float = 50.0) -> NDArray[np.float32]:
    """Return weight_CK of triangular bands whose edges are evenly spaced on the mel scale up to half of `rate_hz`.

    mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy 1987). Each band is 1 at its centre and 0 at its neighbours'.

    Raises:
        UsageError: a band holds no frequency of the transform.
    """
    # It takes seconds to import, and most data have no sound.
    from librosa import filters

    with warnings.catch_warnings():
        # An empty band is refused below.
        warnings.simplefilter("ignore")
        weight_CK: NDArray[np.float32] = filters.mel(
            sr=rate_hz, n_fft=fft_size, n_mels=channels, fmin=low_hz, htk=True, norm=None, dtype=np.float32
        )
    if not (weight_CK > 0).any(1).all():
        reason = f"a band holds none of the frequencies, which lie {rate_hz / fft_size:.1f} Hz apart"
        raise UsageError(f"{channels} mel channels", reason, "Take fewer channels")
    return weight_CK
