"""Finding uv, Python interpreters and the package index settings of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from spikeport.errors import UnavailableError

_LISTS = {"find-links": "--find-links", "extra-index-url": "--extra-index-url", "index-url": "--index-url"}
_PROBE_TIMEOUT_S = 30.0


def find_uv() -> str:
    """Return uv's path: the package's own, else the one on PATH.

    Raises:
        UnavailableError: there is none.
    """
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise UnavailableError("uv", "it is not installed, and it makes the isolated environments", "pip install uv")
    return found


def find_python(versions: tuple[str, ...]) -> Path:
    """Return a working interpreter of one of `versions` (such as `"3.10"`), else the running one."""
    for version in versions:
        for candidate in _candidates(version):
            if (version_of(candidate) or "").startswith(f"{version}."):
                return candidate
    return Path(sys.executable)


def _candidates(version: str) -> Iterator[Path]:
    if found := shutil.which(f"python{version}"):
        yield Path(found)
    for root in (os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv"):
        if root:
            yield from sorted(Path(root, "versions").glob(f"{version}.*/bin/python"), reverse=True)
    # uv gives up on the first broken shim on PATH, so it is asked last
    found = _answer([find_uv(), "python", "find", "--no-python-downloads", version])
    if found:
        yield Path(found)


@cache
def version_of(python: Path) -> str | None:
    """Return the interpreter's version, `None` where it does not run (a pyenv shim of a version not chosen)."""
    return _answer([str(python), "-I", "-c", "import platform; print(platform.python_version())"])


def _answer(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def index_options() -> tuple[list[str], dict[str, str]]:
    """Return uv's options and environment for the indexes and certificates that pip is set up with.

    uv does not read pip's settings. With several indexes it takes the first that knows a package, pip the
    best version of all: uv is told to do the same.
    """
    options: list[str] = []
    settings: dict[str, str] = {}
    for key, value in _pip_settings().items():
        if key in _LISTS:
            for item in value.split():
                options += [_LISTS[key], item]
        elif key == "cert":
            settings["SSL_CERT_FILE"] = os.environ.get("SSL_CERT_FILE") or value
        elif key == "no-index" and value.lower() in ("1", "true", "yes"):
            options.append("--no-index")
    if "--extra-index-url" in options:
        options += ["--index-strategy", "unsafe-best-match"]
    return options, settings


def _pip_settings() -> dict[str, str]:
    """Return pip's settings, the environment's over the files'."""
    listed = _answer([sys.executable, "-m", "pip", "config", "list"]) or ""
    found = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        found[name.rpartition(".")[2]] = value.strip("'\"")
    for key in (*_LISTS, "cert", "no-index"):
        if given := os.environ.get("PIP_" + key.upper().replace("-", "_")):
            found[key] = given
    return found


def describe(code: int, output: str, lines: int) -> str:
    """Return the last `lines` non-empty lines of a failed process, or how it ended where it said nothing."""
    said = [line.strip() for line in output.splitlines() if line.strip()]
    ended = f"signal {-code}" if code < 0 else f"exit code {code}"
    return " | ".join(said[-lines:]) if said else f"it ended with {ended} and said nothing"
