"""CIFAR-10 in one `.npz` of encoded pictures: for `train` and `test` each the bytes, where each begins, and labels.

Keys: `{part}_jpeg` uint8 [B], `{part}_offsets` integers [N + 1], `{part}_label` integers [N]; picture n is encoded,
as JPEG or PNG, in `jpeg[offsets[n]:offsets[n + 1]]`.

Shape suffixes: N pictures, B bytes, H and W pixels.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikeport.errors import ArtefactError
from spikeport.train.datasets.reading import Stamped, option, read_all, stamped
from spikeport.train.datasets.splitting import Rows

CLASSES = 10
PIXELS = 32
FORMATS = ("JPEG", "PNG")
SOURCE = "CIFAR-10, https://www.cs.toronto.edu/~kriz/cifar.html, no licence stated"
Side = Literal["train", "test"]
_FIX = "Write it again, or skip it with --skip-bad"


@dataclass(frozen=True)
class Pictures:
    """The pictures of one side, `pixels_N3HW` in 0..255; `bad` says which were left out, and why."""

    pixels_N3HW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    bad: tuple[str, ...]


def read_pictures(path: Path, side: Side, per_class: int | None, skip_bad: bool) -> Pictures:
    """Return the pictures of one side; with `per_class` the first so many of each class.

    Raises:
        ArtefactError: the file is missing or has another content, or pictures are bad and `skip_bad` is not set.
    """
    if not path.is_file():
        fix = f"Name the .npz of encoded pictures with {option('file')} ({SOURCE})"
        raise ArtefactError(str(path), "there is no such file", fix)
    return _decoded(stamped([path])[0], side, per_class, skip_bad)


# Several trainings in one process decode each picture once; a changed file has another stamp.
@lru_cache(maxsize=4)
def _decoded(file: Stamped, side: Side, per_class: int | None, skip_bad: bool) -> Pictures:
    path = file[0]
    bytes_B, offsets, labels_N = _arrays(path, side)
    rows = _first_of_each(labels_N, per_class)

    def decoded(row: int) -> NDArray[np.uint8]:
        subject = f"{path}: picture {row} of '{side}'"
        if not 0 <= labels_N[row] < CLASSES:
            raise ArtefactError(subject, f"its label {labels_N[row]} is not in 0..{CLASSES - 1}", _FIX)
        return _picture(bytes_B[offsets[row] : offsets[row + 1]], subject)

    found, faults = read_all(rows.tolist(), decoded, skip_bad)
    good = [n for n, picture in enumerate(found) if picture is not None]
    if not good:
        raise ArtefactError(str(path), f"'{side}' holds no picture that can be used", "Write it again")
    pixels = np.stack([picture for picture in found if picture is not None])
    return Pictures(pixels, labels_N[rows[good]], tuple(text for text in faults if text))


def _picture(encoded_B: NDArray[np.uint8], subject: str) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(encoded_B.tobytes()), formats=FORMATS) as image:
            pixels_HW3 = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ArtefactError(subject, f"it cannot be decoded ({error})", _FIX) from None
    if pixels_HW3.shape[:2] != (PIXELS, PIXELS):
        height, width = pixels_HW3.shape[:2]
        reason = f"it is {width} x {height} pixels, and {PIXELS} x {PIXELS} are expected"
        raise ArtefactError(subject, reason, _FIX)
    return pixels_HW3.transpose(2, 0, 1)


def _first_of_each(labels_N: Rows, per_class: int | None) -> Rows:
    """Return the rows of the first `per_class` of each label, in the file's order; a label out of range is one too."""
    if per_class is None:
        return np.arange(len(labels_N))
    return np.sort(np.concatenate([np.flatnonzero(labels_N == label)[:per_class] for label in np.unique(labels_N)]))


def _arrays(path: Path, side: Side) -> tuple[NDArray[np.uint8], Rows, Rows]:
    keys = [f"{side}_{what}" for what in ("jpeg", "offsets", "label")]
    fix = f"Write it with numpy.savez and the keys {', '.join(keys)} ({SOURCE})"
    try:
        # Opened here: numpy leaves the file open where it turns out to be no zip.
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            bytes_B, offsets, labels_N = (file[key] for key in keys)
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtefactError(str(path), f"its '{side}' pictures cannot be read ({error})", fix) from None
    whole = all(x.ndim == 1 and x.dtype.kind in "iu" for x in (offsets, labels_N))
    if bytes_B.ndim != 1 or bytes_B.dtype != np.uint8 or not whole or len(labels_N) == 0:
        raise ArtefactError(str(path), f"its '{side}' arrays are not uint8 [B] and integers [N + 1] and [N]", fix)
    offsets, labels_N = offsets.astype(np.int64), labels_N.astype(np.int64)
    inside = len(offsets) == len(labels_N) + 1 and offsets[0] >= 0 and offsets[-1] <= len(bytes_B)
    if not inside or (np.diff(offsets) < 0).any():
        reason = f"its {len(offsets)} '{side}' offsets do not cut {len(bytes_B)} bytes into {len(labels_N)} pictures"
        raise ArtefactError(str(path), reason, fix)
    return bytes_B, offsets, labels_N
