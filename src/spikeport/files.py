"""Writing that leaves nothing half-written: everything goes aside first and is renamed when whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spikeport.errors import UsageError

NAME_BYTES = 200
"""The longest name, so that a number before it and a suffix behind it still fit into 255."""
_FORBIDDEN = set('/\\:*?"<>|')
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10)}


def plain_name(name: str) -> str:
    """Return `name` if it names a file or folder within another on every system, and nothing else.

    Raises:
        ValueError: it is a path, hidden, empty, too long, a device, or holds a sign that a system does not take.
    """
    fault = None
    if not name:
        fault = "it is empty"
    elif bad := sorted(_FORBIDDEN & set(name)):
        fault = f"it holds '{bad[0]}'"
    elif not name.isprintable():
        fault = "it holds a character that cannot be printed"
    elif name.startswith(".") or name[-1] in ". " or name[0] == " ":
        fault = "it begins with a dot or a space, or ends with one"
    elif name.partition(".")[0].strip().casefold() in _DEVICES:
        fault = "it is the name of a device"
    elif len(name.encode()) > NAME_BYTES:
        fault = f"it is longer than {NAME_BYTES} bytes"
    if fault:
        raise ValueError(f"{name[:60]!r} is not a plain file name: {fault}")
    return name


def same_file(names: Iterable[str]) -> str | None:
    """Return the first of `names` that some system takes for one before it: cases and accents may be written alike."""
    seen: set[str] = set()
    for name in names:
        folded = unicodedata.normalize("NFC", name.casefold())
        if folded in seen:
            return name
        seen.add(folded)
    return None


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of the file at `path`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; rename it to `path` at the end, remove it on any failure.

    Raises:
        UsageError: `path` exists.
    """
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield aside
        aside.chmod(0o777 & ~_umask())
        os.rename(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside `path`; rename it over `path` at the end, remove it on any failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~_umask())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def refuse_existing(path: Path) -> None:
    """Raise `UsageError` where `path` exists: nothing of the user's is overwritten."""
    if path.exists():
        raise UsageError(str(path), "it exists already", "Remove it, or name another with --out")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
