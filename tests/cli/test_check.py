"""`spikeport check`: node, what becomes of it, why; for all backends at once, without running anything."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
import snntorch
import torch
from processor_time import processor_s
from torch import Tensor, nn

from spikeport.cli import main
from spikeport.deploy import backends
from spikeport.export.call import export

FATES = {"native", "rewritten", "host", "refused"}
TAKES_ALL = ("reference", "norse")


def cell(size: int, reset: float = 0.0) -> nir.LIF:
    o = np.ones(size)
    return nir.LIF(tau=0.01 * o, r=o, v_leak=0 * o, v_threshold=o, v_reset=reset * o)


def chain(size: int, *nodes: nir.NIRNode) -> nir.NIRGraph:
    ends = {"input": nir.Input({"input": np.array([size])}), "output": nir.Output({"output": np.array([size])})}
    named = {"input": ends["input"], **{f"n{i}": node for i, node in enumerate(nodes)}, "output": ends["output"]}
    return nir.NIRGraph(named, list(pairwise(named)), type_check=False)


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Graphs in graphs, one node that Loihi and Lava refuse."""
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
        assert (fate == "refused") == (name not in TAKES_ALL), name


def test_the_table_says_the_same_and_proposes_a_backend_that_takes_it(
    nested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(nested), "--dt", "1e-3"]) == 0
    out = capsys.readouterr().out
    assert out.count("n0.n1.n1") == len(list(backends))
    assert all(word in out for word in ("node", "becomes", "why", "refused"))
    assert out.endswith(f"next: spikeport deploy {nested} --dt 0.001 --backend norse\n")


def test_a_deployed_file_is_followed_by_a_command_that_says_what_it_leaves_open(
    nested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["deploy", str(nested), "--dt", "1e-3", "--backend", "reference", "--out", str(tmp_path / "out")]
    assert main(said) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"next: spikeport bench {nested} --dt 0.001 --backend reference --data FILE.npz\n")


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


def test_a_loop_across_stages_is_refused_by_all_but_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Across(nn.Module):
        """Chip -> host -> chip, and back to the first."""

        def __init__(self) -> None:
            super().__init__()
            self.w, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)
            self.first, self.last = (snntorch.Leaky(beta=0.8, init_hidden=True, threshold=0.1) for _ in range(2))

        def forward(self, x: Tensor, prev: Tensor) -> Tensor:
            return self.last(self.norm(self.first(self.w(x + prev))))

    torch.manual_seed(0)
    out = tmp_path / "n.bundle"
    export(Across(), (torch.rand(20, 2, 4) < 0.5).float(), 1e-3, out, feedback={"prev": 0})
    assert main(["check", str(out), "--json"]) == 0
    refusals = json.loads(capsys.readouterr().out)["refusals"]
    assert set(refusals) == set(backends) - {"reference"}
    assert all("'prev'" in why and "Use the reference backend" in why for why in refusals.values())
    assert main(["check", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "norse: the network as a whole is refused" in shown
    assert shown.endswith(f"next: spikeport deploy {out} --backend reference\n")
    assert main(["check", str(out), "--backend", "norse"]) == 0
    assert capsys.readouterr().out.endswith("next: change what is refused above\n")


def test_nothing_runs(nested: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("check ran something")

    for name in backends:
        monkeypatch.setattr(type(backends.get(name)), "lower", never)
    monkeypatch.setattr(subprocess, "Popen", never)
    assert main(["check", str(nested), "--dt", "1e-3"]) == 0
    capsys.readouterr()


def test_it_is_fast(nested: Path) -> None:
    """Little more than the import of the libraries that it cannot do without, on however slow a machine."""
    check = "import sys; from spikeport.cli import main; sys.exit(main(sys.argv[1:]))"
    libraries = "import numba, scipy.sparse.csgraph, nir, pydantic"
    taken = processor_s(sys.executable, "-c", check, "check", str(nested), "--dt", "1e-3", times=3)
    assert taken < 2.5 * processor_s(sys.executable, "-c", libraries, times=3)


def test_it_imports_nothing_that_trains_runs_or_draws(nested: Path) -> None:
    code = (
        "import sys\nfrom spikeport.cli import main\nmain(sys.argv[1:])\n"
        "heavy = {'torch', 'snntorch', 'lightning', 'onnx', 'onnxruntime', 'plotly'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    argv = [sys.executable, "-c", code, "check", str(nested), "--dt", "1e-3"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
