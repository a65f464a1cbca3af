"""Sounds of clips: read, mixed down, checked, resampled.

Shape suffixes: S samples of sound, L loudspeaker channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from spikeport.errors import ArtefactError
from spikeport.train.datasets.silence import refuse_silence

_FIX = "Get it again, or skip it with --skip-bad"


@dataclass(frozen=True)
class Rates:
    """The sample rates that a file may have, why, and what to do about another."""

    least_hz: int
    most_hz: int
    why: str
    fix: str = _FIX

    def check(self, path: Path, own_hz: int) -> None:
        """Raise an ArtefactError where the file's rate is another: resampling would hide what it lacks."""
        if not self.least_hz <= own_hz <= self.most_hz:
            span = f"{self.least_hz} Hz" if self.least_hz == self.most_hz else f"{self.least_hz} to {self.most_hz} Hz"
            reason = f"its sample rate is {own_hz} Hz, and {span} are expected: {self.why}"
            raise ArtefactError(str(path), reason, self.fix)


ANY_RATE = Rates(1000, 400_000, "it is no rate of sound")


def read_sound(path: Path, rate_hz: int, rates: Rates = ANY_RATE) -> NDArray[np.float32]:
    """Return sound_S, the mean of the file's channels at `rate_hz`, cut to -1..1.

    A file of another rate is resampled (polyphase, `scipy.signal.resample_poly`).

    Raises:
        ArtefactError: it is missing, unreadable, empty, silent, not finite, or its rate is none of `rates`.
    """
    try:
        sound_SL, own_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError) as error:
        raise ArtefactError(str(path), f"it cannot be read as sound ({error})", _FIX) from None
    rates.check(path, own_hz)
    if not len(sound_SL):
        raise ArtefactError(str(path), "it holds no sample", _FIX)
    if not np.isfinite(sound_SL).all():
        raise ArtefactError(str(path), "it holds NaN or infinity", _FIX)
    if _cut_short(path):
        raise ArtefactError(str(path), "it ends before the length that its header says: it is truncated", _FIX)
    sound_S = sound_SL.mean(1)
    refuse_silence(str(path), sound_S, _FIX)
    return np.clip(resampled(sound_S, own_hz, rate_hz), -1, 1)


def _cut_short(path: Path) -> bool:
    """Whether a RIFF file is shorter than it says, which libsndfile does not mind.

    A length of 0 or of 2**32 - 1 says nothing: a program wrote it that could not go back. One byte may lack, which
    fills up an odd length.
    """
    with path.open("rb") as file:
        head = file.read(8)
    said = int.from_bytes(head[4:8], "little")
    return head[:4] == b"RIFF" and said not in (0, 2**32 - 1) and said + 8 > path.stat().st_size + 1


def resampled(sound_S: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Return the sound at another rate."""
    if from_hz == to_hz:
        return sound_S
    shared = gcd(from_hz, to_hz)
    found_S: NDArray[np.float32] = resample_poly(sound_S, to_hz // shared, from_hz // shared).astype(np.float32)
    return found_S
