"""Front ends that turn a sound into a square picture of its frequencies over time.

Shape suffixes: S samples of sound, K frequencies, M mel bands, F frames, T time steps.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional as F

from spikeport.train.datasets.mel import LEAST_POWER, mel_bank

LEAST_MAGNITUDE = 1e-7
Count = Annotated[int, Field(gt=0)]
RateHz = Annotated[int, Field(ge=4000, le=192_000)]


class _FrontEnd(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stft(_FrontEnd):
    """`log(|X| + 1e-7)` of a short-time Fourier transform, frequencies evenly spaced: S-CMRL's front end.

    Attributes:
        kind: which front end.
        rate_hz: the rate to which clips are resampled.
        n_fft: samples a frame, under a periodic Hann window.
        hop: samples from one frame to the next.
    """

    kind: Literal["stft"] = "stft"
    rate_hz: RateHz = 22_050
    n_fft: Annotated[int, Field(gt=1)] = 512
    hop: Count = 353


class Mel(_FrontEnd):
    """`10 log10 max(P, 1e-10)`, P the power in mel bands up to half the rate.

    Attributes:
        kind: which front end.
        rate_hz: the rate to which clips are resampled.
        n_fft: samples a frame, under a periodic Hann window.
        hop: samples from one frame to the next.
        mels: number of bands.
        low_hz: where the first band begins.
    """

    kind: Literal["mel"] = "mel"
    rate_hz: RateHz = 22_050
    n_fft: Annotated[int, Field(gt=1)] = 2048
    hop: Count = 512
    mels: Count = 64
    low_hz: Annotated[float, Field(ge=0)] = 0.0


FrontEnd = Annotated[Stft | Mel, Field(discriminator="kind")]


def check(front: Stft | Mel) -> None:
    """Refuse a front end that cannot work.

    Raises:
        UsageError: a mel band holds no frequency.
    """
    if isinstance(front, Mel):
        mel_bank(front.mels, front.n_fft, front.rate_hz, front.low_hz)


def spectrogram(sound_S: NDArray[np.float32], front: Stft | Mel, size: int) -> NDArray[np.float32]:
    """Return [1, size, size]: frequency (low first) by time, resized bilinearly whatever the sound's length."""
    magnitude_KF = stft_magnitude(sound_S, front.n_fft, front.hop)
    if isinstance(front, Stft):
        picture = np.log(magnitude_KF + np.float32(LEAST_MAGNITUDE))
    else:
        bank_MK = mel_bank(front.mels, front.n_fft, front.rate_hz, front.low_hz)
        picture = 10 * np.log10(np.maximum(bank_MK @ magnitude_KF**2, np.float32(LEAST_POWER)))
    return resized(picture[None], size)


def windowed_spectrograms(
    sound_S: NDArray[np.float32], front: Stft | Mel, size: int, windows: int
) -> NDArray[np.float32]:
    """Return [T, 1, size, size]: the sound cut into T equal stretches, and a spectrogram of each."""
    return np.stack([spectrogram(part, front, size) for part in np.array_split(sound_S, windows)])


def stft_magnitude(sound_S: NDArray[np.float32], n_fft: int, hop: int) -> NDArray[np.float32]:
    """Return |X|_KF, `X[k, f] = sum_s hann[s] x[f hop + s - n_fft/2] exp(-2 pi i k s / n_fft)`, zeros around x.

    There are 1 + S // hop frames, the first centred on the first sample.
    """
    sound = torch.from_numpy(np.ascontiguousarray(sound_S, np.float32))
    window = torch.hann_window(n_fft)
    spectrum = torch.stft(sound, n_fft, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    magnitude_KF: NDArray[np.float32] = spectrum.abs().numpy()
    return magnitude_KF


def resized(picture_CHW: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return [C, size, size], bilinear between pixel centres (`align_corners=False`, no smoothing)."""
    batch = torch.from_numpy(np.ascontiguousarray(picture_CHW, np.float32))[None]
    found: NDArray[np.float32] = F.interpolate(batch, (size, size), mode="bilinear", align_corners=False)[0].numpy()
    return found
