"""Overlays: the running torch and no other, noticed when it moves, changes or is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest
import torch

from spikeport.deploy.isolated import Environment
from spikeport.deploy.norse.program import ENVIRONMENT as NORSE
from spikeport.deploy.overlay import Overlay
from spikeport.errors import UnavailableError


class Bare(Overlay):
    """An overlay without packages of its own."""

    requirements = "# nothing\n"


class Plain(Environment):
    """The same without anything shared."""

    requirements = "# nothing\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPIKEPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


def answer(environment: Environment, code: str) -> str:
    done = subprocess.run([str(environment.interpreter()), "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def package(place: Path, version: str) -> None:
    (place / "axle").mkdir(parents=True, exist_ok=True)
    (place / "axle" / "__init__.py").write_text(f"version = {version!r}\n")
    for old in place.glob("axle-*.dist-info"):
        shutil.rmtree(old)
    (place / f"axle-{version}.dist-info").mkdir()
    (place / f"axle-{version}.dist-info" / "METADATA").write_text(f"Name: axle\nVersion: {version}\n")


def test_norse_runs_on_the_torch_that_runs_here() -> None:
    here = [str(module.__file__) for module in (torch, np, nir)]
    assert (
        answer(NORSE, "import torch, numpy, nir; print(torch.__file__, numpy.__file__, nir.__file__)").split() == here
    )
    own = Path(answer(NORSE, "import norse.torch, nirtorch; print(nirtorch.__file__)"))
    assert own.is_relative_to(NORSE.interpreter().parents[1])


@pytest.mark.usefixtures("cache")
def test_without_the_shared_folders_there_is_no_torch() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        answer(Plain("plain", python=Path(sys.executable)), "import torch")


@pytest.mark.usefixtures("cache")
def test_another_version_or_place_of_what_is_shared_is_another_overlay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay = Bare("bare", shared=("axle",))
    monkeypatch.syspath_prepend(tmp_path / "old")
    package(tmp_path / "old", "1.0")
    first = overlay.interpreter()
    assert answer(overlay, "import axle; print(axle.version)") == "1.0"
    package(tmp_path / "old", "2.0")
    second = overlay.interpreter()
    assert answer(overlay, "import axle; print(axle.version)") == "2.0"
    shutil.move(tmp_path / "old", tmp_path / "new")
    monkeypatch.syspath_prepend(tmp_path / "new")
    assert answer(overlay, "import axle; print(axle.__file__)") == str(tmp_path / "new" / "axle" / "__init__.py")
    assert len({first, second, overlay.interpreter()}) == 3


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("/gone\n")], ids=["lost", "elsewhere"])
def test_a_damaged_link_to_what_is_shared_is_mended(
    damage: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "here")
    package(tmp_path / "here", "1.0")
    overlay = Bare("bare", shared=("axle",))
    (link,) = overlay.interpreter().parents[1].glob("lib/python*/site-packages/spikeport_shared.pth")
    damage(link)  # type: ignore[operator]
    assert answer(overlay, "import axle; print(axle.version)") == "1.0"


@pytest.mark.usefixtures("cache")
def test_what_is_not_installed_cannot_be_shared() -> None:
    with pytest.raises(UnavailableError, match=r"'bare'.*shares no_such_axle, which is not installed"):
        Bare("bare", shared=("no_such_axle",)).interpreter()
