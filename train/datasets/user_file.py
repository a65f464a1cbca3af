"""A user's own labelled samples: an `.npz` with `y` [N] and `x` (or `x_<input>` for each input).

An input is either encoded already, [N, T, *shape] as the network's core sees it, or raw, [N, *raw], with
an encoding named for it.

Shape suffixes: N samples, T time steps.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.datasets.base import Split
from spikeport.train.datasets.reading import told_bad
from spikeport.train.encodings import EncodingSpec, encode
from spikeport.train.seeds import derived


@dataclass(frozen=True)
class UserData:
    """Labelled samples of a user's file.

    Attributes:
        encoded: what the core sees, `[T, N, *shape]` for each input.
        raw: the samples before encoding, which is what a twin takes; None where the file holds any
            input encoded.
        labels_N: the classes.
        bad: which samples were left out, and why: they hold NaN, infinity or a label out of range.
    """

    encoded: Mapping[str, Tensor]
    raw: Split | None
    labels_N: NDArray[np.int64]
    bad: tuple[str, ...]


def load_file(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    timesteps: int | None,
    classes: int,
    encodings: Mapping[str, EncodingSpec] | None = None,
    skip_bad: bool = False,
    seed: int = 0,
) -> UserData:
    """Return the samples in the `.npz` file at `path`.

    Args:
        path: the file.
        shapes: what the core sees a step, for each of its inputs.
        timesteps: T; `None` takes it from the encoded inputs.
        classes: labels are 0..classes-1.
        encodings: for each raw input, how it becomes spikes; an input not named is encoded already.
        skip_bad: leave bad samples out and count them, instead of refusing the file.
        seed: of encodings that draw.

    Raises:
        ArtefactError: the file is missing, corrupt, or does not fit; the key and the fix are named.
        UsageError: an encoding is named for an input that the network does not have.
    """
    encodings = encodings or {}
    for name in encodings:
        if name not in shapes:
            raise UsageError(f"encoding of '{name}'", "the network has no such input", f"Name one of {sorted(shapes)}")
    arrays = _read(path)
    labels = _labels(path, arrays)
    inputs = {name: _input(path, arrays, name, len(shapes) == 1) for name in shapes}
    _check_keys(path, arrays, shapes)
    timesteps = timesteps or _own_timesteps(path, inputs, encodings)
    for name, x in inputs.items():
        if len(x) != len(labels):
            raise _misfit(path, name, f"it has {len(x)} samples, and y has {len(labels)}", "Give one row a label")
        if name not in encodings and x.shape[1:] != (timesteps, *shapes[name]):
            fix = f"Give [N, {timesteps}, {', '.join(map(str, shapes[name]))}], or raw samples and an encoding"
            raise _misfit(path, name, f"its shape is {list(x.shape)}, and the network's differs", fix)
    faults = _faults(path, inputs, labels, classes)
    good = np.array([not fault for fault in faults])
    bad = tuple(f"{path}: sample {n}: {fault}" for n, fault in enumerate(faults) if fault)
    if bad and not skip_bad:
        _refuse(path, faults)
    if not good.any():
        raise ArtefactError(str(path), "no sample is left", "Repair the file")
    inputs = {name: x[good] for name, x in inputs.items()}
    encoded = {
        name: _steps(path, name, x, encodings.get(name), shapes[name], timesteps, derived(seed, "encode", name))
        for name, x in inputs.items()
    }
    raw = Split(inputs, labels[good], bad) if set(inputs) <= set(encodings) else None
    return UserData(encoded, raw, labels[good], bad)


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    fix = "Write it with numpy.savez(path, x=..., y=...)"
    try:
        # Opened here: numpy leaves the file open where it turns out to be no zip.
        with path.open("rb") as opened:
            loaded = np.load(opened, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise ArtefactError(str(path), "it holds one bare array", fix)
            return {key: loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise ArtefactError(str(path), "there is no such file", "Name an .npz file") from None
    except ArtefactError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError) as error:
        raise ArtefactError(str(path), f"it is corrupt, or holds Python objects ({error})", fix) from None


def _labels(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.int64]:
    if "y" not in arrays:
        raise ArtefactError(
            f"{path}: key 'y'", f"it is missing; the file has {sorted(arrays)}", "Add the labels as 'y'"
        )
    y = arrays["y"]
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(y) == 0:
        reason = f"it is {y.dtype} of shape {list(y.shape)}, not integers [N] with N > 0"
        raise ArtefactError(f"{path}: key 'y'", reason, "Give one integer class a sample")
    return y.astype(np.int64)


def _input(path: Path, arrays: Mapping[str, NDArray[np.generic]], name: str, only: bool) -> NDArray[np.float32]:
    keys = [f"x_{name}", *(["x"] if only else [])]
    found = [key for key in keys if key in arrays]
    if len(found) != 1:
        what = "it is missing" if not found else "it is there twice"
        subject = f"{path}: key {' or '.join(repr(key) for key in keys)}"
        raise ArtefactError(subject, f"{what}; the file has {sorted(arrays)}", "Give the samples once, as one of these")
    x = arrays[found[0]]
    if x.dtype.kind not in "biuf" or x.ndim < 2:
        raise _misfit(path, name, f"it is {x.dtype} of shape {list(x.shape)}", "Give numbers, samples first")
    return x.astype(np.float32)


def _own_timesteps(path: Path, inputs: Mapping[str, NDArray[np.float32]], encodings: Mapping[str, object]) -> int:
    encoded = [name for name in inputs if name not in encodings]
    if not encoded:
        reason = "all its inputs are raw, and the network does not say into how many steps they are encoded"
        raise ArtefactError(str(path), reason, "Give an input encoded, [N, T, *shape]")
    return int(inputs[encoded[0]].shape[1])


def _check_keys(path: Path, arrays: Mapping[str, NDArray[np.generic]], shapes: Mapping[str, object]) -> None:
    """Refuse an `x_...` that the network does not take: a misspelt input must not go unseen."""
    for key in arrays:
        if key.startswith("x_") and key[2:] not in shapes:
            fix = f"Remove it; the network takes {sorted(shapes)}"
            raise ArtefactError(f"{path}: key '{key}'", "the network has no such input", fix)


def _faults(
    path: Path, inputs: Mapping[str, NDArray[np.float32]], labels: NDArray[np.int64], classes: int
) -> list[str]:
    """Return what is wrong with each sample, "" for nothing."""
    faults = ["" if 0 <= label < classes else f"its label {label} is not in 0..{classes - 1}" for label in labels]
    for name, x in inputs.items():
        finite = np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
        for n in np.flatnonzero(~finite):
            faults[n] = faults[n] or f"input '{name}' holds NaN or infinity"
    return faults


def _refuse(path: Path, faults: Sequence[str]) -> NoReturn:
    first = next(n for n, fault in enumerate(faults) if fault)
    count = sum(map(bool, faults))
    reason = f"{faults[first]} ({told_bad(count, len(faults))})"
    raise ArtefactError(f"{path}: sample {first}", reason, "Repair it, or pass --skip-bad")


def _steps(
    path: Path,
    name: str,
    x: NDArray[np.float32],
    spec: EncodingSpec | None,
    shape: tuple[int, ...],
    timesteps: int,
    seed: int,
) -> Tensor:
    direct = EncodingSpec(name="direct", params={"frames": True})
    x_TN = encode(spec or direct, x, timesteps, seed, name)
    if tuple(x_TN.shape[2:]) != tuple(shape):
        reason = f"encoded it is {list(x_TN.shape[2:])} a step, and the network takes {list(shape)}"
        raise _misfit(path, name, reason, "Check the raw shape and the encoding")
    return x_TN


def _misfit(path: Path, name: str, reason: str, fix: str) -> ArtefactError:
    return ArtefactError(f"{path}: input '{name}'", reason, fix)
