"""The Free Spoken Digit recordings: `<digit>_<speaker>_<take>.wav`, 8 kHz, mono.

Shape suffixes: N clips, S samples of sound.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from spikeport.errors import ArtefactError
from spikeport.train.datasets.reading import option
from spikeport.train.datasets.silence import refuse_silence

RATE_HZ = 8000
LEAST_SAMPLES = 240
CLASSES = 10
SOURCE = "https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0"
_NAME = re.compile(r"(\d+)_([^_]+)_(\d+)\.wav")
_FIX = "Get it again, or skip it with --skip-bad"


@dataclass(frozen=True)
class SpokenFiles:
    """Files with their digits and speakers, not read yet; `misnamed` ones say neither, and why."""

    paths: tuple[Path, ...]
    labels_N: NDArray[np.int64]
    speakers_N: NDArray[np.str_]
    misnamed: tuple[str, ...]


def spoken_files(folder: Path, per_class: int | None = None, skip_bad: bool = False) -> SpokenFiles:
    """Return the recordings in `folder`, by digit, speaker and take; with `per_class` so many of each digit.

    A limit takes turns between the speakers, so that no speaker is cut off.

    Raises:
        ArtefactError: the folder or its recordings are not there, or a name says no digit and `skip_bad` is not set.
    """
    fix = f"Name the folder of <digit>_<speaker>_<take>.wav with {option('recordings')} ({SOURCE})"
    if not folder.is_dir():
        raise ArtefactError(str(folder), "there is no such folder", fix)
    rows: list[tuple[int, int, str, Path]] = []
    misnamed: list[tuple[Path, str]] = []
    for path in sorted(folder.glob("*.wav")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            misnamed.append((path, "its name is not <digit>_<speaker>_<take>.wav"))
        elif int(match[1]) >= CLASSES:
            misnamed.append((path, f"its label {match[1]} is not in 0..{CLASSES - 1}"))
        else:
            rows.append((int(match[1]), int(match[3]), match[2], path))
    if misnamed and not skip_bad:
        path, reason = misnamed[0]
        raise ArtefactError(str(path), f"{reason} ({len(misnamed)} such)", "Rename it, or skip it with --skip-bad")
    if not rows:
        raise ArtefactError(str(folder), "it holds no recording", fix)
    chosen = [row for digit in range(CLASSES) for row in sorted(r for r in rows if r[0] == digit)[:per_class]]
    return SpokenFiles(
        tuple(row[3] for row in chosen),
        np.array([row[0] for row in chosen], np.int64),
        np.array([row[2] for row in chosen], np.str_),
        tuple(f"{path}: {reason}" for path, reason in misnamed),
    )


def read_spoken(path: Path) -> NDArray[np.float32]:
    """Return sound_S of one recording, in -1..1.

    Raises:
        ArtefactError: it is unreadable, not mono 16-bit sound at 8 kHz, silent, or shorter than 30 ms.
    """
    try:
        with warnings.catch_warnings():
            # An unknown chunk is none of our business; a file that ends too early is.
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "Chunk .* not understood")
            rate_hz, sound_S = wavfile.read(path)
    except (OSError, ValueError, EOFError, wavfile.WavFileWarning) as error:
        raise ArtefactError(str(path), f"it cannot be read ({error})", _FIX) from None
    if rate_hz != RATE_HZ:
        raise ArtefactError(str(path), f"its sample rate is {rate_hz} Hz, and {RATE_HZ} Hz are expected", _FIX)
    if sound_S.ndim != 1 or sound_S.dtype != np.int16:
        reason = f"it holds {sound_S.dtype} of shape {list(sound_S.shape)}, and one channel of 16 bits is expected"
        raise ArtefactError(str(path), reason, _FIX)
    if len(sound_S) < LEAST_SAMPLES:
        raise ArtefactError(str(path), f"its {len(sound_S)} samples are fewer than {LEAST_SAMPLES} (30 ms)", _FIX)
    full_S = np.asarray(sound_S, np.float32) / np.float32(32768)
    refuse_silence(str(path), full_S, _FIX)
    return full_S
