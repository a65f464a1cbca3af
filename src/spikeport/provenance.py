"""Which software on which machine: what every artefact says of its origin."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path


def version(package: str) -> str | None:
    """Return the installed version of `package`, `None` where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package, or `not installed`."""
    return {name: version(name) or "not installed" for name in packages}


def machine() -> dict[str, str]:
    """Return the Python and the platform."""
    return {"python": platform.python_version(), "platform": platform.platform()}


def git_hash() -> str | None:
    """Return the commit of the source tree that this runs from, or `None` outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
