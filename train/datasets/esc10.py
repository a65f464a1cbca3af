"""ESC-10: 400 clips of ten sounds around us, out of its tar: `<nnn> - <class>/<fold>-<source>-<take>.ogg`.

The classes are the folders in sorted order. All clips cut from one source recording lie in one fold.

Shape suffixes: N clips, S samples of sound, F frames, C mel bands, T frames of the picture.
"""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.train.datasets.mel import below_loudest, log_mel
from spikeport.train.datasets.reading import Stamped, option, read_all, stamped
from spikeport.train.datasets.silence import refuse_silence

CLASSES = 10
RATE_HZ = 44_100
LEAST_SECONDS = 1.5
BANDS = FRAMES = 64
WINDOW_S, HOP_S = 0.04, 0.02
RANGE_DB = 80.0
SOURCE = "ESC-10, https://github.com/karolpiczak/ESC-50, CC BY 3.0"
_NAME = re.compile(r"(\d)-.+\.ogg")
_FIX = "Get the archive again, or skip it with --skip-bad"


@dataclass(frozen=True)
class Clips:
    """Pictures `x_N1CT` in 0..1 of the clips' log-mel levels; those with one of the `faults` hold zeros."""

    x_N1CT: NDArray[np.float32]
    labels_N: NDArray[np.int64]
    folds_N: NDArray[np.int64]
    faults: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    subject: str
    content: bytes


def read_clips(path: Path, skip_bad: bool) -> Clips:
    """Return all clips of the archive at `path`.

    Raises:
        ArtefactError: the archive is missing or has another layout, or clips are bad and `skip_bad` is not set.
    """
    if not path.is_file():
        raise ArtefactError(str(path), "there is no such file", f"Name the tar with {option('sounds')} ({SOURCE})")
    return _clips(stamped([path])[0], skip_bad)


# Decoding takes seconds: several trainings in one process do it once; a changed file has another stamp.
@lru_cache(maxsize=2)
def _clips(file: Stamped, skip_bad: bool) -> Clips:
    entries = _entries(file[0])
    labels = {folder: label for label, folder in enumerate(sorted({name.parent.name for name in entries}))}
    if len(labels) != CLASSES:
        reason = f"it holds clips of {len(labels)} classes, and {CLASSES} are expected"
        raise ArtefactError(str(file[0]), reason, f"Name the tar with {option('sounds')} ({SOURCE})")
    found, faults = read_all(
        ((name, _Entry(f"{file[0]}: {name}", content)) for name, content in entries.items()), _one, skip_bad
    )
    silence = np.zeros((1, BANDS, FRAMES), np.float32)
    return Clips(
        np.stack([silence if picture is None else picture for picture in found]),
        np.array([labels[name.parent.name] for name in entries], np.int64),
        np.array([_fold(name) for name in entries], np.int64),
        faults,
    )


def _entries(path: Path) -> dict[PurePosixPath, bytes]:
    try:
        with tarfile.open(path) as archive:
            files = sorted((member for member in archive.getmembers() if member.isfile()), key=lambda m: m.name)
            ogg = [member for member in files if member.name.endswith(".ogg")]
            return {PurePosixPath(member.name): _content(archive, member) for member in ogg}
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ArtefactError(str(path), f"it cannot be read ({error})", f"Get it again ({SOURCE})") from None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _fold(name: PurePosixPath) -> int:
    match = _NAME.fullmatch(name.name)
    return int(match[1]) if match else -1


def _one(named: tuple[PurePosixPath, _Entry]) -> NDArray[np.float32]:
    name, entry = named
    if _fold(name) < 0:
        raise ArtefactError(entry.subject, "its name is not <fold>-<source>-<take>.ogg", _FIX)
    return picture(read_clip(entry.content, entry.subject))


def read_clip(content: bytes, subject: str) -> NDArray[np.float32]:
    """Return sound_S of one encoded clip.

    Raises:
        ArtefactError: it cannot be decoded, is not one channel at 44.1 kHz, silent, or shorter than 1.5 s.
    """
    try:
        sound_S, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32")
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise ArtefactError(subject, f"it cannot be decoded ({error})", _FIX) from None
    if rate_hz != RATE_HZ:
        raise ArtefactError(subject, f"its sample rate is {rate_hz} Hz, and {RATE_HZ} Hz are expected", _FIX)
    if sound_S.ndim != 1:
        raise ArtefactError(subject, f"it has {sound_S.shape[1]} channels, and one is expected", _FIX)
    if len(sound_S) < LEAST_SECONDS * RATE_HZ:
        raise ArtefactError(subject, f"its {len(sound_S)} samples are shorter than {LEAST_SECONDS:g} s", _FIX)
    refuse_silence(subject, sound_S, _FIX)
    return np.asarray(sound_S, np.float32)


def picture(sound_S: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return x_1CT in 0..1: 64 mel bands, windows of 40 ms every 20 ms, averaged over 64 equal stretches of time.

    0 lies 80 dB below the loudest point of the clip.
    """
    x_FC = below_loudest(log_mel(sound_S, RATE_HZ, BANDS, WINDOW_S, HOP_S), RANGE_DB)
    edges = np.linspace(0, len(x_FC), FRAMES + 1).astype(np.int64)
    return np.stack([x_FC[start:end].mean(0) for start, end in pairwise(edges)], axis=1)[None]
