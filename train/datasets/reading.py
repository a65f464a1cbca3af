"""Reading many recordings of which some may be bad: named and counted, never left out in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from spikeport.errors import ArtefactError

K = TypeVar("K")
T = TypeVar("T")
Stamped = tuple[Path, int, int]


def read_all(keys: Iterable[K], read: Callable[[K], T], skip_bad: bool) -> tuple[T | None, ...]:
    """Return what `read` makes of each file or row, None where that is bad.

    Raises:
        ArtefactError: some are bad and `skip_bad` is not set: the first, and how many there are.
    """
    found: list[T | None] = []
    bad: list[ArtefactError] = []
    for key in keys:
        try:
            found.append(read(key))
        except ArtefactError as error:
            bad.append(error)
            found.append(None)
    if bad and not skip_bad:
        first = bad[0]
        raise ArtefactError(first.subject, f"{first.reason} ({len(bad)} of {len(found)} are bad)", first.fix)
    return tuple(found)


def stamped(paths: Iterable[Path]) -> tuple[Stamped, ...]:
    """Return paths with time of change and size: a key under which what was read from them may be kept."""
    found = []
    for path in paths:
        status = path.stat()
        found.append((path, status.st_mtime_ns, status.st_size))
    return tuple(found)
