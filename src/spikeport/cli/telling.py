"""What the verbs tell while they work."""

from __future__ import annotations

import sys

_CLEAR = "\r\033[K"


def tell(line: str) -> None:
    """Write a line at once beside the results, which alone go to stdout."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def report_progress(what: str) -> None:
    """Say on a terminal what runs now; results alone go to stdout."""
    if sys.stderr.isatty():
        print(f"{_CLEAR}{what} ...", end="", file=sys.stderr, flush=True)


def end_progress() -> None:
    """Clear what `report_progress` has said."""
    if sys.stderr.isatty():
        print(_CLEAR, end="", file=sys.stderr, flush=True)
