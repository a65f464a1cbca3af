"""Hostile files on the command line, in a child process that has 4 GB and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hostile_nir import HOSTILE

LIMIT = 4 << 30
CHILD = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT}, {LIMIT}))
from spikeport.cli import main
for path in sys.argv[1:]:
    print("exit", main(["check", path, "--dt", "1e-3"]), flush=True)
"""


def good(path: Path) -> Path:
    two = np.ones(2)
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "n0": nir.Affine(np.eye(2), np.zeros(2)),
        "n1": nir.LIF(tau=0.01 * two, r=two, v_leak=0 * two, v_threshold=two, v_reset=0 * two),
        "output": nir.Output({"output": np.array([2])}),
    }
    nir.write(path, nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    return path


def test_each_is_refused_in_one_line_and_bounded_memory(tmp_path: Path) -> None:
    other, paths = good(tmp_path / "other.nir"), []
    for attack in HOSTILE:
        path = good(tmp_path / f"{attack.__name__}.nir")
        with h5py.File(path, "r+") as file:
            attack(file, other)
        paths.append(path)
    done = checked(*paths)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["exit 1"] * len(paths)
    said = done.stderr.splitlines()
    assert len(said) == len(paths)
    for path, line in zip(paths, said, strict=True):
        assert line.startswith(f"spikeport: error: {path}")
        assert "internal fault" not in line


HUGE = {
    "input": ("node/nodes/input/shape", np.array([2_000_000_000, 2_000_000_000])),
    "negative": ("node/nodes/input/shape", np.array([-1])),
    "nan": ("node/nodes/n1/tau", np.full(2, np.nan)),
    "tau 0": ("node/nodes/n1/tau", np.zeros(2)),
    "negative tau": ("node/nodes/n1/tau", -np.ones(2)),
}


@pytest.mark.parametrize(("name", "value"), HUGE.values(), ids=HUGE.keys())
def test_a_value_out_of_bounds_names_the_node(tmp_path: Path, name: str, value: np.ndarray) -> None:
    path = good(tmp_path / "out.nir")
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = value
    done = checked(path)
    assert done.stdout == "exit 1\n"
    (line,) = done.stderr.splitlines()
    assert f"node '{name.split('/')[2]}'" in line


def test_dangling_edges_are_named(tmp_path: Path) -> None:
    path = good(tmp_path / "dangling.nir")
    for edges, said in (
        ([("input", "n0"), ("n0", "ghost")], "'ghost'"),
        ([("input", "n0"), ("n0", "output")], "node 'n1': nothing feeds it"),
        ([("input", "n0"), ("input", "n0"), ("n0", "n1"), ("n1", "output")], "an edge appears twice"),
    ):
        with h5py.File(path, "r+") as file:
            del file["node/edges"]
            file["node"].create_dataset("edges", data=np.array(edges, dtype="S"))
        assert said in checked(path).stderr


def checked(*paths: Path) -> subprocess.CompletedProcess[str]:
    # One thread: every thread of a numerical library reserves address space.
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    argv = [sys.executable, "-c", CHILD, *map(str, paths)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, env=env, check=False)
