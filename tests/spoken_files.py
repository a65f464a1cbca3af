"""Recordings in the layout of the Free Spoken Digit data set, generated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

# Real recordings lie beside the checkout where they are at hand.
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "fsdd" / "recordings"
SPEAKERS = ("ann", "bob", "cat")


def tone(frequency_hz: float, seconds: float = 0.2, rate_hz: int = 8000) -> NDArray[np.int16]:
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.round(8000 * np.sin(2 * np.pi * frequency_hz * at_s)).astype(np.int16)


def write_spoken(folder: Path, takes: int = 4, speakers: tuple[str, ...] = SPEAKERS) -> Path:
    """Digit d is a tone of 300 (d + 1) Hz, so that a recording shows its label."""
    folder.mkdir(parents=True)
    for digit in range(10):
        for speaker in speakers:
            for take in range(takes):
                sound = tone(300 * (digit + 1), 0.15 + 0.02 * take)
                wavfile.write(folder / f"{digit}_{speaker}_{take}.wav", 8000, sound)
    return folder
