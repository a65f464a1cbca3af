"""Which software on which machine: what every artefact says of its origin."""

from __future__ import annotations

import os
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


def processor() -> dict[str, str | int]:
    """Return the processor's name, where the system tells it, and how many of them this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"processor": named[0] if named else platform.processor() or "not told", "processors": count}


def git_hash() -> str | None:
    """Return the commit of the source tree that this runs from, or `None` outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
