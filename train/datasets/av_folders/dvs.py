"""MNIST-DVS recordings: MNIST digits that moved on a screen before a DVS128 camera (Serrano-Gotarredona et al. 2015).

Layouts: `grabbed_data<digit>/scale<4|8|16>/*.aedat`, as distributed; or `<digit>/*.aedat`; or `<digit>/*.npy`, for
recordings of another size, such as the 28 x 28 ones: rows t_us, x, y, p, as four columns of integers or four fields.

Shape suffixes: E events, T time bins, P polarities, H and W pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.train.datasets.nmnist import Events, Recordings
from spikeport.train.datasets.reading import option

CLASSES = 10
DVS128_PIXELS = 128
LONGEST_S = 60
SOURCE = "http://www2.imse-cnm.csic.es/caviar/MNISTDVS.html, licence not stated"
_FIX = "Get it again, or skip it with --skip-bad"
_SUFFIXES = (".aedat", ".npy")
_EXTERNAL = 1 << 15


def recordings(folder: Path, scale: int) -> Recordings:
    """Return the recordings of each digit, by name; `scale` chooses among those of the layout as distributed.

    Raises:
        ArtefactError: the folder, or a digit's recordings, are not there.
    """
    fix = f"Name the folder that holds MNIST-DVS, grabbed_data0 to 9 or 0 to 9, with {option('visual')} ({SOURCE})"
    if not folder.is_dir():
        raise ArtefactError(str(folder), "there is no such folder", fix)
    paths: list[Path] = []
    labels: list[int] = []
    for digit in range(CLASSES):
        grabbed = folder / f"grabbed_data{digit}" / f"scale{scale}"
        place = grabbed if grabbed.is_dir() else folder / str(digit)
        found = sorted(path for path in place.glob("*") if path.suffix in _SUFFIXES and path.name[0] != ".")
        if not found:
            raise ArtefactError(str(grabbed), f"there is no recording of {digit}, and none in {place.name}", fix)
        paths += found
        labels += [digit] * len(found)
    return Recordings(tuple(paths), np.array(labels, np.int64))


def read_events(path: Path, pixels: int) -> Events:
    """Read one recording of a camera of `pixels` x `pixels`; times begin at 0.

    Raises:
        ArtefactError: it is missing, malformed, empty, of another camera, or its times are broken.
    """
    events = read_npy(path) if path.suffix == ".npy" else read_aedat(path)
    if not len(events.t_us_E):
        raise ArtefactError(str(path), "it holds no event", _FIX)
    outside = np.flatnonzero(
        (events.x_E < 0) | (events.x_E >= pixels) | (events.y_E < 0) | (events.y_E >= pixels) | (events.p_E >> 1 != 0)
    )
    if len(outside):
        at = outside[0]
        place = f"({events.x_E[at]}, {events.y_E[at]}), polarity {events.p_E[at]}"
        reason = f"event {at} lies at {place}, outside of {pixels} x {pixels} pixels and polarities 0 and 1"
        raise ArtefactError(str(path), reason, "Check the parameter pixels, or skip it with --skip-bad")
    span_us = int(events.t_us_E.max() - events.t_us_E.min())
    if span_us > LONGEST_S * 1_000_000:
        reason = f"it would last {span_us / 1e6:.0f} s: its time stamps are broken"
        raise ArtefactError(str(path), reason, _FIX)
    return Events(events.t_us_E - events.t_us_E.min(), events.p_E, events.y_E, events.x_E)


def read_aedat(path: Path) -> Events:
    """Read an AEDAT 2.0 file of a DVS128: a header of lines with `#`, then address and time (us), 32 bits each.

    Address bit 0 is 0 for a rise in brightness (p = 1), bits 1-7 count pixels from the bottom, bits 8-14 from the
    right, seen as the digit stands upright; bit 15 marks a signal that is no pixel's, which is left out.

    Raises:
        ArtefactError: it is missing, truncated, or of another version or camera.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtefactError(str(path), f"it cannot be read ({error.strerror})", _FIX) from None
    start = 0
    while content[start : start + 1] == b"#":
        end = content.find(b"\n", start)
        line = content[start : end if end >= 0 else len(content)].strip()
        if line.startswith(b"#!AER-DAT") and not line.startswith(b"#!AER-DAT2"):
            reason = f"it is {line[2:].decode(errors='replace')}, and AER-DAT2.0 is read"
            raise ArtefactError(str(path), reason, "Convert it")
        start = end + 1 if end >= 0 else len(content)
    if (len(content) - start) % 8:
        reason = f"the {len(content) - start} bytes after its header are no whole number of events: it is truncated"
        raise ArtefactError(str(path), reason, _FIX)
    address_E, t_us_E = np.frombuffer(content, ">u4", offset=start).reshape(-1, 2).astype(np.int64).T
    if (address_E >= 2 * _EXTERNAL).any():
        raise ArtefactError(str(path), "it holds addresses of more than 16 bits: it is no DVS128's", _FIX)
    kept = address_E < _EXTERNAL
    address_E, t_us_E = address_E[kept], t_us_E[kept]
    last = DVS128_PIXELS - 1
    return Events(t_us_E, 1 - (address_E & 1), last - (address_E >> 1 & last), last - (address_E >> 8 & last))


def read_npy(path: Path) -> Events:
    """Read rows t_us, x, y, p: integers [E, 4], or records with these four fields.

    Raises:
        ArtefactError: it is missing, or holds anything else.
    """
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ArtefactError(str(path), f"it cannot be read ({error})", _FIX) from None
    if rows.dtype.names is not None and set(rows.dtype.names) >= {"t", "x", "y", "p"} and rows.ndim == 1:
        columns = [rows[name] for name in ("t", "x", "y", "p")]
    elif rows.dtype.names is None and rows.ndim == 2 and rows.shape[1] == 4:
        columns = list(rows.T)
    else:
        raise ArtefactError(
            str(path), f"it holds {rows.dtype} of shape {list(rows.shape)}, and no rows t, x, y, p", _FIX
        )
    if not all(np.issubdtype(column.dtype, np.integer) or column.dtype == bool for column in columns):
        raise ArtefactError(str(path), "its rows t, x, y, p are no integers", _FIX)
    t_us_E, x_E, y_E, p_E = (column.astype(np.int64) for column in columns)
    return Events(t_us_E, p_E, y_E, x_E)


def frames(events: Events, steps: int, pixels: int) -> NDArray[np.float32]:
    """Return counts_TPHW: the events in each of T equal stretches of the recording's own duration."""
    span_us = int(events.t_us_E.max()) + 1
    where = (events.t_us_E * steps // span_us, events.p_E, events.y_E, events.x_E)
    shape = (steps, 2, pixels, pixels)
    flat = np.bincount(np.ravel_multi_index(where, shape), minlength=int(np.prod(shape)))
    return flat.reshape(shape).astype(np.float32)
