"""What networks are called: by their folder, by what tells two folders apart, and never twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikeport.benchmarks.titles import titles
from spikeport.errors import UsageError


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["/r/a", "/r/b.bundle"], ("a", "b")),
        (["/r/a/x.bundle", "/r/b/x.bundle", "/r/y"], ("a-x", "b-x", "y")),
        (["/r/x", "/r/x.bundle"], ("x", "x.bundle")),
        (["/p/r/x.nir", "/q/r/x.nir"], ("p-r-x.nir", "q-r-x.nir")),
    ],
)
def test_equal_names_are_told_apart(paths, wanted):
    assert titles([Path(p) for p in paths]) == wanted


def test_one_network_twice_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "x")
    (tmp_path / "x").mkdir()
    with pytest.raises(UsageError, match="named 2 times"):
        titles([tmp_path / "x", tmp_path / "link"])


def test_names_that_cannot_be_told_apart_are_refused():
    with pytest.raises(UsageError, match="have one name"):
        titles([Path("/a/b-c"), Path("/a-b/c"), Path("/a/b/c"), Path("/z/c"), Path("/z-c/b-c"), Path("/z/c/b/c")])
