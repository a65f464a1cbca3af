"""Imports run one way: models <- train, export; export <- deploy; benchmarks and the command line on top."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = {"callable_package", "errors", "files", "registry", "provenance", "weight_grid"}
ALLOWED = {
    "models": SHARED | {"models"},
    "train": SHARED | {"models", "train"},
    "export": SHARED | {"models", "export"},
    "deploy": SHARED | {"export", "deploy"},
    "benchmarks": SHARED | {"models", "train", "export", "deploy", "benchmarks"},
}
HOUSE = set(ALLOWED) | SHARED | {"cli"}


def imported(file: Path) -> set[str]:
    """Return the parts of spikeport that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("spikeport.")}
    return found & HOUSE


@pytest.mark.parametrize("part", ALLOWED)
def test_a_part_imports_only_what_lies_below(part: str) -> None:
    files = list((ROOT / part).rglob("*.py"))
    assert files
    strays = {str(f.relative_to(ROOT)): sorted(bad) for f in files if (bad := imported(f) - ALLOWED[part])}
    assert strays == {}


def test_the_arrow_test_sees_an_import(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("def f():\n    from spikeport.train.loop import fit\n    import spikeport.deploy\n")
    assert imported(file) == {"train", "deploy"}


def test_links_point_at_the_folders() -> None:
    for part in ALLOWED:
        link = ROOT / "src" / "spikeport" / part
        assert link.is_symlink()
        assert not link.readlink().is_absolute()
        assert link.resolve() == ROOT / part
