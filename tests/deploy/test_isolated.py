"""Isolated environments: exactly the pins, made once, whole or not at all, and nothing outlives a run."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from spikeport.deploy import installer, isolated
from spikeport.deploy.installer import find_python, find_uv, index_options
from spikeport.deploy.isolated import Environment
from spikeport.deploy.lava.program import ENVIRONMENT as LAVA
from spikeport.deploy.norse.program import ENVIRONMENT as NORSE
from spikeport.errors import SpikeportError, UnavailableError

HERE = Path(sys.executable)


class Bare(Environment):
    """An environment without packages."""

    requirements = "# nothing\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPIKEPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.mark.parametrize("environment", [LAVA, NORSE, Environment("lava", python=HERE)])
def test_an_environment_holds_exactly_its_pins(environment: Environment) -> None:
    pins = [line for line in environment.requirements.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r'[\w.-]+==[\w.]+(; python_version (<|>=) "3\.11")?', pin) for pin in pins)
    python = environment.interpreter()
    old = "py3.10" in python.parts[-3]
    wanted = {
        pin.partition(";")[0].strip() for pin in pins if ("<" in pin, ">=" in pin) != (not old, old) or ";" not in pin
    }
    listed = subprocess.run(
        [find_uv(), "pip", "freeze", "--python", str(python)], capture_output=True, text=True, check=True
    )
    assert {line.partition("+")[0] for line in listed.stdout.split()} == wanted
    assert "torchvision" not in listed.stdout


def test_it_is_announced_and_made_once(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        first = Bare("bare", python=HERE).interpreter()
        made = first.stat().st_mtime_ns
        assert Bare("bare", python=HERE).interpreter() == first
    assert [record.message for record in caplog.records] == [
        f"making the isolated environment 'bare' (once), in {first.parents[1]}"
    ]
    assert first.stat().st_mtime_ns == made
    assert first.is_relative_to(cache)


def test_two_may_race(cache: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: Bare("bare", python=HERE).interpreter(), range(2)))
    assert both[0] == both[1]
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [both[0].parents[1].name]


def test_what_a_kill_left_is_cleared_away(cache: Path) -> None:
    folder = Bare("bare", python=HERE).interpreter().parents[1]
    half = cache / f".{folder.name}.killed"
    half.mkdir()
    (folder / "bin" / "python").unlink()
    assert Bare("bare", python=HERE).interpreter().exists()
    assert not half.exists()


@pytest.mark.usefixtures("cache")
def test_one_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"environment 'lava'.*asteval.*package index settings"):
        Environment("lava", python=HERE).interpreter()
    assert not list((tmp_path / "cache").glob("*/*/bin"))


def test_a_shim_that_does_not_run_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shim = tmp_path / "python3.10"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(installer, "find_uv", lambda: str(shim))
    assert find_python(("3.10",)) == HERE


def test_pips_settings_reach_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "a b")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://example.org/simple")
    monkeypatch.setenv("PIP_CERT", "/ca.pem")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    options, settings = index_options()
    pairs = list(pairwise(options))
    assert ("--find-links", "a") in pairs
    assert ("--find-links", "b") in pairs
    assert ("--extra-index-url", "https://example.org/simple") in pairs
    assert ("--index-strategy", "unsafe-best-match") in pairs
    assert settings["SSL_CERT_FILE"] == "/ca.pem"


@pytest.mark.usefixtures("cache")
def test_a_worker_that_fails_is_quoted_and_its_children_end(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "pathlib.Path(sys.argv[1], 'pid').write_text(str(child.pid))\n"
        "raise RuntimeError('the axle broke')\n"
    )
    with pytest.raises(SpikeportError, match="RuntimeError: the axle broke"):
        Bare("bare", python=HERE).run(script, tmp_path)
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.usefixtures("cache")
def test_a_worker_that_hangs_is_ended(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, pathlib, time\n"
        "pathlib.Path(sys.argv[1], 'pid').write_text(str(os.getpid()))\n"
        "time.sleep(300)\n"
    )
    with pytest.raises(SpikeportError, match="longer than 2 s"):
        Bare("bare", python=HERE).run(script, tmp_path, timeout_s=2)
    assert not alive(int((tmp_path / "pid").read_text()))


def alive(pid: int) -> bool:
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPIKEPORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(UnavailableError, match="Set SPIKEPORT_CACHE"):
        Bare("bare", python=HERE).interpreter()
    assert os.environ["SPIKEPORT_CACHE"] in str(isolated.cache_root())
