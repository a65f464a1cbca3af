"""Pictures and sounds in the layouts of `cifar10` and `cifar10-esc10`, generated."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RATE_HZ = 44_100


def encoded(pixels_HW3: NDArray[np.uint8]) -> bytes:
    """As PNG: the reader takes what Pillow takes, and nothing is lost."""
    file = io.BytesIO()
    Image.fromarray(pixels_HW3).save(file, "PNG")
    return file.getvalue()


def flat(label: int, shade: int = 0) -> NDArray[np.uint8]:
    """A picture whose red says its label and whose top left corner is white."""
    pixels = np.full((32, 32, 3), (20 * label, shade, 0), np.uint8)
    pixels[0, 0] = 255
    return pixels


def arrays(pictures: list[bytes], labels: list[int], side: str) -> dict[str, Any]:
    return {
        f"{side}_jpeg": np.frombuffer(b"".join(pictures), np.uint8),
        f"{side}_offsets": np.cumsum([0, *map(len, pictures)]),
        f"{side}_label": np.array(labels, np.uint8),
    }


def write_cifar(path: Path, per_class: int = 10, **changes: Any) -> Path:
    labels = [label for _ in range(per_class) for label in range(10)]
    pictures = [encoded(flat(label, n)) for n, label in enumerate(labels)]
    test = arrays(pictures[:20], labels[:20], "test")
    np.savez(path, **{**arrays(pictures, labels, "train"), **test, **changes})
    return path


def ogg(sound: NDArray[np.float64], rate_hz: int = RATE_HZ) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, rate_hz, format="OGG", subtype="VORBIS")
    return file.getvalue()


def tone(frequency_hz: float, seconds: float = 1.5, rate_hz: int = RATE_HZ) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@cache
def clips() -> Mapping[str, bytes]:
    """One clip a class and fold 1, 3, 4, 5; class k is a tone of 400 (k + 1) Hz."""
    sounds = [ogg(tone(400 * (label + 1))) for label in range(10)]
    return {
        f"{label + 1:03d} - Class {label}/{fold}-{100 + label}-A.ogg": sound
        for label, sound in enumerate(sounds)
        for fold in (1, 3, 4, 5)
    }


def write_tar(path: Path, contents: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path
