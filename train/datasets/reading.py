"""Reading many recordings of which some may be bad: named and counted, never left out in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from spikeport.errors import ArtefactError
from spikeport.train.datasets.base import Part, Split

K = TypeVar("K")
T = TypeVar("T")
Stamped = tuple[Path, int, int]
SHOWN = 10
NOTED = 3


def read_all(keys: Iterable[K], read: Callable[[K], T], skip_bad: bool) -> tuple[tuple[T | None, ...], tuple[str, ...]]:
    """Return what `read` makes of each file or row, None where that is bad, and what is wrong with it, "" for nothing.

    Raises:
        ArtefactError: some are bad and `skip_bad` is not set: the first, and which others there are.
    """
    found: list[T | None] = []
    faults: list[str] = []
    bad: list[ArtefactError] = []
    for key in keys:
        try:
            found.append(read(key))
            faults.append("")
        except ArtefactError as error:
            bad.append(error)
            found.append(None)
            faults.append(fault(error))
    if bad and not skip_bad:
        raise of_all(bad, len(found))
    return tuple(found), tuple(faults)


def fault(error: ArtefactError) -> str:
    """Return which file is bad and why, without what to do about it."""
    return f"{error.subject}: {error.reason}"


def of_all(bad: Sequence[ArtefactError], count: int) -> ArtefactError:
    """Return the first of the errors, which also says how many of `count` are bad and names the next ones."""
    first, others = bad[0], [error.subject for error in bad[1:SHOWN]]
    also = f", also {', '.join(others)}" if others else ""
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return ArtefactError(first.subject, f"{first.reason} ({told_bad(len(bad), count)}){also}{more}", first.fix)


def told_bad(bad: int, count: int) -> str:
    """Return how many of so many are bad, in words."""
    return f"{bad} of {count} {'is' if bad == 1 else 'are'} bad"


def skipped_lines(part: Part, split: Split) -> list[str]:
    """Return what to tell of the samples that a part has left out; nothing where there are none."""
    if not split.skipped:
        return []
    shown = split.bad[:SHOWN]
    more = split.skipped - len(shown)
    lines = [f"{part}: {split.skipped} bad sample{'s' * (split.skipped > 1)} skipped, {len(split)} left"]
    lines += [f"  {text}" for text in shown]
    return lines + ([f"  and {more} more"] if more else [])


def skipped_note(bad: Sequence[str]) -> str:
    """Return what a note beside a figure says of the samples that were left out; "" where there are none."""
    if not bad:
        return ""
    more = f"; and {len(bad) - NOTED} more" if len(bad) > NOTED else ""
    return f"; {len(bad)} bad sample{'s' * (len(bad) > 1)} skipped ({'; '.join(bad[:NOTED])}{more})"


def option(parameter: str) -> str:
    """Return how the command line names a parameter of a dataset that says where files lie."""
    ways = f"train or study --set data.params.{parameter}=PATH, bench --data-param {parameter}=PATH"
    return f"the parameter {parameter} ({ways})"


def stamped(paths: Iterable[Path]) -> tuple[Stamped, ...]:
    """Return paths with time of change and size: a key under which what was read from them may be kept."""
    found = []
    for path in paths:
        status = path.stat()
        found.append((path, status.st_mtime_ns, status.st_size))
    return tuple(found)
