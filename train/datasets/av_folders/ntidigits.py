"""N-TIDIGITS18: spoken digits that a silicon cochlea of 64 channels turned into spikes (Anumula et al. 2018).

One file, `n-tidigits.hdf5`: for `train` and `test`, whose speakers differ, `<part>_labels` [N] names the utterances
`<gender>-<speaker>-<take>-<digits>`, and `<part>_timestamps/<name>` (seconds) and `<part>_addresses/<name>` (channels)
hold their spikes. Utterances of one digit are taken, those of several left out; "z" (zero) and "o" (oh) are 0.

Shape suffixes: N utterances, E spikes, T time bins, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.train.datasets.reading import option

CHANNELS = 64
SOURCE = "https://docs.google.com/document/d/1Uxe7GsKKXcy6SlDUX4hoJVAC0-UkH-8kr5UXp0Ndi1M, CC BY-SA 4.0"
_DIGITS = {"z": 0, "o": 0} | {str(digit): digit for digit in range(1, 10)}
_FIX = "Get the file again, or skip such utterances with --skip-bad"
Side = Literal["train", "test"]


@dataclass(frozen=True)
class Utterances:
    """Single digits of one official part, not read yet; `misnamed` names say no digit."""

    names: tuple[str, ...]
    labels_N: NDArray[np.int64]
    speakers_N: NDArray[np.str_]
    misnamed: tuple[str, ...]


def open_file(path: Path) -> h5py.File:
    """Open the file for reading.

    Raises:
        ArtefactError: it is missing, or no such file.
    """
    fix = f"Name n-tidigits.hdf5 with {option('audio')} ({SOURCE})"
    if not path.is_file():
        raise ArtefactError(str(path), "there is no such file", fix)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ArtefactError(str(path), f"it is no HDF5 file, or truncated ({error})", fix) from None
    for side in ("train", "test"):
        for kind, expected in (("labels", h5py.Dataset), ("timestamps", h5py.Group), ("addresses", h5py.Group)):
            if not isinstance(file.get(f"{side}_{kind}"), expected):
                file.close()
                raise ArtefactError(str(path), f"it lacks '{side}_{kind}': it is no N-TIDIGITS18", fix)
    return file


def utterances(file: h5py.File, side: Side, keep_oh: bool) -> Utterances:
    """Return the single digits of one official part, in the file's order; without `keep_oh` no "o"."""
    names, labels, speakers, misnamed = [], [], [], []
    for raw in file[f"{side}_labels"][:]:
        name = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
        fields = name.split("-")
        digits = fields[-1]
        if len(fields) != 4 or not digits or any(digit not in _DIGITS for digit in digits):
            misnamed.append(name)
        elif len(digits) == 1 and (keep_oh or digits != "o"):
            names.append(name)
            labels.append(_DIGITS[digits])
            speakers.append(f"{fields[0]}-{fields[1]}")
    return Utterances(tuple(names), np.array(labels, np.int64), np.array(speakers, np.str_), tuple(misnamed))


def read_counts(file: h5py.File, side: Side, name: str, steps: int) -> NDArray[np.float32]:
    """Return counts_TC: the spikes in each of T equal stretches of the utterance's own duration.

    Raises:
        ArtefactError: the utterance has no spikes, or they are malformed.
    """
    subject = f"{file.filename}: {side} utterance '{name}'"
    try:
        t_s_E, channel_E = file[f"{side}_timestamps"][name][()], file[f"{side}_addresses"][name][()]
    except (KeyError, OSError) as error:
        raise ArtefactError(subject, f"it cannot be read ({error})", _FIX) from None
    t_s_E, channel_E = np.asarray(t_s_E, np.float64), np.asarray(channel_E, np.int64)
    if t_s_E.ndim != 1 or t_s_E.shape != channel_E.shape:
        reason = f"it has times of shape {list(t_s_E.shape)} and addresses of shape {list(channel_E.shape)}"
        raise ArtefactError(subject, reason, _FIX)
    if not len(t_s_E):
        raise ArtefactError(subject, "it is silent: it holds no spike", _FIX)
    if not np.isfinite(t_s_E).all():
        raise ArtefactError(subject, "its times hold NaN or infinity", _FIX)
    outside = channel_E[(channel_E < 0) | (channel_E >= CHANNELS)]
    if len(outside):
        raise ArtefactError(subject, f"it has channel {outside[0]}, and channels are 0..{CHANNELS - 1}", _FIX)
    since_s_E = t_s_E - t_s_E.min()
    # The last spike lies in the last bin, not beyond it.
    bin_E = np.minimum((since_s_E * steps / max(since_s_E.max(), 1e-9)).astype(np.int64), steps - 1)
    flat = np.bincount(bin_E * CHANNELS + channel_E, minlength=steps * CHANNELS)
    return flat.reshape(steps, CHANNELS).astype(np.float32)
