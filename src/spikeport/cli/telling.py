"""What the verbs tell while they work."""

from __future__ import annotations

import sys


def tell(line: str) -> None:
    """Write a line at once beside the results, which alone go to stdout."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
