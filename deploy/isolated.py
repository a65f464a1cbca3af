"""Isolated environments: a backend whose pins quarrel with ours runs in a Python of its own.

An environment is made on first use by uv from a pinned list in `environments/`, cached per user, and fed
with files. It is made aside and renamed when whole, under a lock, so that two processes may race and a kill
may come at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from spikeport.deploy.installer import describe, find_python, find_uv, index_options, version_of
from spikeport.errors import SpikeportError, UnavailableError

log = logging.getLogger("spikeport")

MAKE_TIMEOUT_S = 900.0
RUN_TIMEOUT_S = 3600.0
_LAST_LINES = 12


def cache_root() -> Path:
    """Return where environments are kept: `$SPIKEPORT_CACHE`, else `~/.cache/spikeport`."""
    named = os.environ.get("SPIKEPORT_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(named) if named else home / "spikeport") / "environments"


@dataclass(frozen=True)
class Environment:
    """A Python interpreter with exactly the packages of one list.

    Attributes:
        name: the list's name in `environments/`, and the name in messages.
        prefer: Python versions to look for first, such as `"3.10"`; else the running one is used.
        python: the interpreter to build on; `None` looks for one.
        from_source: packages that publish no wheel and may be built; no other is.
    """

    name: str
    prefer: tuple[str, ...] = ()
    python: Path | None = None
    from_source: tuple[str, ...] = ()

    @property
    def requirements(self) -> str:
        """The pinned list."""
        return resources.files("spikeport.deploy").joinpath(f"environments/{self.name}.txt").read_text("utf-8")

    def interpreter(self) -> Path:
        """Return the environment's Python, making the environment if it is not there.

        Raises:
            UnavailableError: it cannot be made here; the reason is uv's.
        """
        base = self.python or find_python(self.prefer)
        folder = cache_root() / self._key(base)
        python = folder / "bin" / "python"
        if not self.whole(folder):
            with _lock(folder, self.name):
                if not self.whole(folder):
                    self._make(base, folder)
        return python

    def whole(self, folder: Path) -> bool:
        """Return whether `folder` holds this environment."""
        return (folder / "bin" / "python").exists()

    def identity(self) -> tuple[str, ...]:
        """Return what makes it another environment, beside the interpreter and the platform."""
        return (self.requirements,)

    def furnish(self, folder: Path) -> None:
        """Add to the new environment in `folder` what is no package; nothing here."""

    def _key(self, base: Path) -> str:
        version = version_of(base)
        if version is None:
            raise UnavailableError(f"environment '{self.name}'", f"{base} is no working Python", "Name another")
        identity = "\n".join((*self.identity(), version, str(base.resolve()), platform.platform()))
        return f"{self.name}-py{version}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"

    def _make(self, base: Path, folder: Path) -> None:
        log.warning("making the isolated environment '%s' (once), in %s", self.name, folder)
        for stale in folder.parent.glob(f".{folder.name}.*"):
            shutil.rmtree(stale, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            self._install(base, aside)
            self.furnish(aside)
            os.rename(aside, folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def _install(self, base: Path, folder: Path) -> None:
        uv = find_uv()
        options, settings = index_options()
        pins = folder.with_name(folder.name + ".txt")
        pins.write_text(self.requirements, "utf-8")
        python = folder / "bin" / "python"
        try:
            self._uv([uv, "venv", "--python", str(base), "--clear", str(folder)], settings)
            install = [uv, "pip", "install", "--no-deps", "--python", str(python)]
            wheels = [f"--only-binary={name}" for name in sorted(self._pinned()) if name not in self.from_source]
            self._uv([*install, *wheels, *options, "-r", str(pins)], settings)
        finally:
            pins.unlink(missing_ok=True)

    def _pinned(self) -> set[str]:
        lines = (line for line in self.requirements.splitlines() if line and not line.startswith("#"))
        return {line.partition("==")[0] for line in lines}

    def _uv(self, command: Sequence[str], settings: Mapping[str, str]) -> None:
        env = {**os.environ, **settings, "UV_PYTHON_DOWNLOADS": "never"}
        env.pop("VIRTUAL_ENV", None)
        try:
            run_quietly(command, env, MAKE_TIMEOUT_S)
        except WorkerError as failure:
            raise UnavailableError(
                f"environment '{self.name}'",
                f"uv could not make it: {failure}",
                "Check the network and the package index settings (PIP_INDEX_URL, PIP_FIND_LINKS, UV_*), then retry",
            ) from None

    def run(self, script: Path, folder: Path, timeout_s: float = RUN_TIMEOUT_S) -> None:
        """Run `script folder` in the environment; the script reads its request from the folder and answers there.

        Everything that the script starts is ended with it.

        Raises:
            UnavailableError: the environment cannot be made.
            SpikeportError: the script failed or took too long; its last lines are the reason.
        """
        python = self.interpreter()
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}
        env["PYTHONNOUSERSITE"] = "1"
        try:
            run_quietly([str(python), str(script), str(folder)], env, timeout_s)
        except WorkerError as failure:
            raise SpikeportError(
                f"environment '{self.name}'", f"its worker failed: {failure}", "Please report this with `spikeport env`"
            ) from None


class WorkerError(Exception):
    """A child process failed; the message is its last lines."""


def run_quietly(command: Sequence[str], env: Mapping[str, str], timeout_s: float) -> None:
    """Run `command` in a process group of its own, which is ended as a whole.

    Raises:
        WorkerError: it failed or ran longer than `timeout_s`.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise WorkerError(f"it took longer than {timeout_s:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code != 0:
            output.seek(0)
            raise WorkerError(describe(code, output.read().decode(errors="replace"), _LAST_LINES))


@contextmanager
def _lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the environment's lock; the kernel lets it go when the holder dies."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = (folder.parent / f"{folder.name}.lock").open("w")
    except OSError as error:
        raise UnavailableError(
            f"environment '{name}'", f"the cache cannot be written: {error}", "Set SPIKEPORT_CACHE to a writable folder"
        ) from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
