"""The wheel and the sdist hold real files, all of them and nothing else, and work where nothing else is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from processor_time import processor_s

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("models", "train", "export", "deploy", "benchmarks")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from the files that git tracks, as a clean clone would."""
    clone = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()]
    tar = clone / "tree.tar"
    with tarfile.open(tar, "w") as archive:
        for name in names:
            archive.add(ROOT / name, name, recursive=False)
    tree = clone / "tree"
    subprocess.run(["tar", "-xf", str(tar), "--one-top-level=tree"], cwd=clone, check=True)
    out = clone / "dist"
    built = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return out


def packaged() -> set[str]:
    """Return the files that belong into the package, by their place in it."""
    found = set()
    for part, folder in [(p, ROOT / p) for p in PARTS] + [("", ROOT / "src" / "spikeport")]:
        for file in folder.rglob("*"):
            place = file.relative_to(folder)
            if file.is_file() and "__pycache__" not in place.parts and (part or place.parts[0] not in PARTS):
                found.add("/".join(("spikeport", *((part,) if part else ()), *place.parts)))
    return found


def test_the_wheel_holds_the_tree(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
        assert not any((info.external_attr >> 16) & 0o170000 == 0o120000 for info in archive.infolist())
    assert names == packaged()
    assert "spikeport/py.typed" in names


def test_the_sdist_holds_real_files(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = {m.name.split("/", 1)[1] for m in members if m.isfile() and "/" in m.name}
    assert {f"src/{name}" for name in packaged()} <= names


def test_the_wheel_answers_in_an_empty_environment(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    bin_ = tmp_path / "env" / "bin"
    subprocess.run([bin_ / "python", "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    helped = subprocess.run([bin_ / "spikeport", "--help"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "the whole path" in helped.stdout
    stray = subprocess.run([bin_ / "python", "-c", "import models"], capture_output=True, check=False, cwd=tmp_path)
    assert stray.returncode != 0


def test_help_answers_at_once() -> None:
    """`spikeport --help` in under 0.3 s; on a machine where Python itself takes long to start, in five such starts."""
    shown = processor_s(str(Path(sys.executable).with_name("spikeport")), "--help", times=5)
    assert shown < max(0.3, 5 * processor_s(sys.executable, "-c", "pass", times=5))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom spikeport.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'snntorch', 'nir', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
