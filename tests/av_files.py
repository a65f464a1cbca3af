"""Small data in the published audio-visual layouts, generated: what a file holds shows its class."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import soundfile
from PIL import Image

RATE_HZ = 16_000


def write_sound(path: Path, label: int, rate_hz: int = RATE_HZ, seconds: float = 0.1, channels: int = 1) -> Path:
    """A tone whose frequency is 500 Hz more for each class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t_s = np.arange(round(rate_hz * seconds)) / rate_hz
    tone = 0.5 * np.sin(2 * np.pi * 500 * (label + 1) * t_s)
    soundfile.write(path, np.repeat(tone[:, None], channels, 1), rate_hz)
    return path


def write_picture(path: Path, label: int, size: tuple[int, int] = (24, 20)) -> Path:
    """One grey for each class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (20 * label + 20,) * 3).save(path)
    return path


def write_pairs(visual: Path, audio: Path, classes: Sequence[str], names: Sequence[Sequence[str]]) -> None:
    for label, (folder, some) in enumerate(zip(classes, names, strict=True)):
        for name in some:
            write_picture(visual / folder / f"{name}.jpg", label)
            write_sound(audio / folder / f"{name}.wav", label)


def aedat(events: Sequence[tuple[int, int, int, int]], header: bytes = b"#!AER-DAT2.0\r\n# x\r\n") -> bytes:
    """Events (t_us, p, row, column) as a DVS128 writes them, by the format's description."""
    words = [((127 - column) << 8 | (127 - row) << 1 | (1 - p), t_us) for t_us, p, row, column in events]
    return header + b"".join(struct.pack(">II", *word) for word in words)


def write_dvs(root: Path, per_digit: int = 10, scale: int = 4) -> Path:
    """Events of digit d only in row 50 + d."""
    for digit in range(10):
        place = root / f"grabbed_data{digit}" / f"scale{scale}"
        place.mkdir(parents=True)
        for i in range(per_digit):
            events = [(7_000_000 + 1000 * k, (k + i) % 2, 50 + digit, 40 + k) for k in range(20)]
            (place / f"mnist_{digit}_scale{scale:02d}_{i + 1:04d}.aedat").write_bytes(aedat(events))
    return root


def write_ntidigits(path: Path, speakers: int = 4, digits: str = "zo123456789") -> Path:
    """Spikes of digit d in channel 3 d (oh: 30) alone; two takes of each digit and speaker, and a longer utterance."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for part, first in (("train", 0), ("test", speakers)):
            labels = []
            for speaker in range(first, first + speakers):
                for said in [*digits, "12"]:
                    for take in "ab":
                        name = f"man-s{speaker}-{take}-{said}"
                        channel = {"z": 0, "o": 30}.get(said[0], 3 * int(said[0], 36))
                        file[f"{part}_timestamps/{name}"] = np.linspace(0.1, 0.9, 17)
                        file[f"{part}_addresses/{name}"] = np.full(17, channel, np.uint8)
                        labels.append(name.encode())
            file[f"{part}_labels"] = labels
    return path
