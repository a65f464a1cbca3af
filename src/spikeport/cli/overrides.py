"""What the verbs that train change in a recipe."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from spikeport.errors import UsageError

_KEY = "data.params.skip_bad"


def overrides_of(args: argparse.Namespace) -> list[str]:
    """Return --set, and after it what --skip-bad stands for."""
    return [*args.set, *([f"{_KEY}=true"] if args.skip_bad else [])]


@contextmanager
def skip_bad_explained(args: argparse.Namespace) -> Iterator[None]:
    """Blame --skip-bad, and not the key that it sets, where the dataset does not know it."""
    try:
        yield
    except UsageError as error:
        if not args.skip_bad or error.subject != f"key '{_KEY}'":
            raise
        raise UsageError("--skip-bad", "the recipe's dataset reads no files that may be bad", "Drop it") from None
