"""The errors that a user can meet: each names what, why, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpikeportError(ValueError):
    """A request that cannot be met as it stands.

    Args:
        subject: the node, file or option at fault, with the offending value where there is one.
        reason: why it cannot be done.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, subject: str, reason: str, fix: str) -> None:
        self.subject = subject
        self.reason = reason
        self.fix = fix
        super().__init__(f"{subject}: {reason}. {fix}" if fix else f"{subject}: {reason}")

    def __reduce__(self) -> tuple[type[SpikeportError], tuple[str, str, str]]:
        return type(self), (self.subject, self.reason, self.fix)


class UsageError(SpikeportError):
    """The request itself is malformed: an unknown name, a wrong type, a folder that exists."""

    exit_code = 2


class ArtefactError(SpikeportError):
    """A file on disk is missing, truncated, foreign or not what its hash says."""


class UnfaithfulError(SpikeportError):
    """The network cannot be expressed, or run, as the same network."""


class UnavailableError(SpikeportError):
    """Something this machine lacks: an interpreter, a package, a device."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the advice for an unknown `name`: the nearest known one, then all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Available: {', '.join(names) or 'none'}"
