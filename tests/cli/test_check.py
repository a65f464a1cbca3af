"""`spikeport check`: node, what becomes of it, why; for all backends at once, without running anything."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from spikeport.cli import main
from spikeport.deploy import backends

FATES = {"native", "rewritten", "host", "refused"}


def cell(size: int, reset: float = 0.0) -> nir.LIF:
    o = np.ones(size)
    return nir.LIF(tau=0.01 * o, r=o, v_leak=0 * o, v_threshold=o, v_reset=reset * o)


def chain(size: int, *nodes: nir.NIRNode) -> nir.NIRGraph:
    ends = {"input": nir.Input({"input": np.array([size])}), "output": nir.Output({"output": np.array([size])})}
    named = {"input": ends["input"], **{f"n{i}": node for i, node in enumerate(nodes)}, "output": ends["output"]}
    return nir.NIRGraph(named, list(pairwise(named)), type_check=False)


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Graphs in graphs, one node that every foreign backend refuses."""
    inner = chain(3, cell(3), chain(3, nir.Affine(np.eye(3), np.zeros(3)), cell(3, reset=0.5)))
    path = tmp_path / "nested.nir"
    nir.write(path, chain(3, inner, nir.Affine(np.eye(3), np.ones(3))))
    return path


def test_every_backend_gives_every_node_a_fate_and_a_reason(nested: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(nested), "--dt", "1e-3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["backends"]) == set(backends)
    for name, stages in found["backends"].items():
        verdicts = stages["core"]
        assert sorted(v["node"] for v in verdicts) == ["input", "n0.n0", "n0.n1.n0", "n0.n1.n1", "n1", "output"], name
        assert all(v["fate"] in FATES and (v["reason"] or v["fate"] == "native") for v in verdicts)
        fate = {v["node"]: v["fate"] for v in verdicts}["n0.n1.n1"]
        assert (fate == "refused") == (name != "reference")


def test_the_table_says_the_same_and_proposes_a_backend_that_takes_it(
    nested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(nested), "--dt", "1e-3"]) == 0
    out = capsys.readouterr().out
    assert out.count("n0.n1.n1") == len(list(backends))
    assert all(word in out for word in ("node", "becomes", "why", "refused"))
    assert out.endswith(f"next: spikeport deploy {nested} --dt 0.001 --backend reference\n")


def test_an_open_integration_step_is_refused_by_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    o = np.ones(3)
    path = tmp_path / "if.nir"
    nir.write(path, chain(3, nir.IF(r=2 * o, v_threshold=o, v_reset=0 * o)))
    assert main(["check", str(path), "--dt", "1e-3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["backends"]
    fates = {name: {v["node"]: v["fate"] for v in stages["core"]}["n0"] for name, stages in found.items()}
    assert set(fates.values()) == {"refused"}
    assert main(["check", str(path), "--dt", "1e-3"]) == 0
    assert capsys.readouterr().out.endswith("next: change what is refused above\n")
    assert main(["check", str(path), "--dt", "1e-3", "--if-step", "euler", "--backend", "reference"]) == 0
    assert "--if-step euler --backend reference" in capsys.readouterr().out


def test_nothing_runs(nested: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("check ran something")

    for name in backends:
        monkeypatch.setattr(type(backends.get(name)), "lower", never)
    monkeypatch.setattr(subprocess, "Popen", never)
    assert main(["check", str(nested), "--dt", "1e-3"]) == 0
    capsys.readouterr()


def test_it_is_fast(nested: Path) -> None:
    code = "import sys; from spikeport.cli import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", code, "check", str(nested), "--dt", "1e-3"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Its own work, whatever else the machine does at the time.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
