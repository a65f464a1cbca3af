"""A mismatch by ties alone says so, wherever an agreement is told: its entries are not "all equal"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

import spikeport
from spikeport.benchmarks.audited import audit_verdict
from spikeport.cli import main
from spikeport.deploy import backends
from spikeport.deploy.backend import Inputs
from spikeport.deploy.reference import ReferenceBackend, ReferenceProgram
from spikeport.export.audit import Agreement, Difference, NodeAgreement
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import Interpreter, recorded_nodes
from spikeport.export.recording import FLOAT32, Recording
from spikeport.export.verify import describe
from spikeport.models.network import SpikeRate, core_network

TOLD = r"ties within rounding of a threshold, more than one in 100,000: too many to tell"


class AtTheThreshold(nn.Module):
    """Every input spike lifts a neuron to its threshold exactly, in any binary arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6, bias=False)
        self.fc.weight.data = torch.eye(6) / 2
        self.lif = snntorch.Leaky(beta=0.0, threshold=0.5, init_hidden=True, reset_mechanism="zero")

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.lif(self.fc(x))
        return spikes


@dataclass(frozen=True)
class FiresAt(ReferenceProgram):
    """The reference with `>=` for `>`, in what it calls float32."""

    graph: ChipGraph

    def run(self, inputs_TBN: Inputs) -> Recording:
        interpreter = Interpreter(self.graph, lambda name, v_BN, _: v_BN >= interpreter.neurons[name].v_threshold)
        (x_TBN,) = inputs_TBN.values()
        interpreter.reset(x_TBN.shape[1])
        rows = [interpreter.step({self.graph.inputs[0]: x.astype(float)}) for x in x_TBN]
        nodes = {name: np.stack([row[name] for row in rows]) for name in recorded_nodes(self.graph)}
        return Recording(nodes, dict.fromkeys(nodes, 0), len(rows), FLOAT32)


class TyingBackend(ReferenceBackend):
    name = "tying"

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> FiresAt:
        return FiresAt(graph)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(backends._entries, "tying", TyingBackend())
    sample = {"x": (torch.rand(12, 4, 6, generator=torch.Generator().manual_seed(0)) < 0.5).float()}
    net = core_network(AtTheThreshold(), SpikeRate(6, 3), ("x",))
    return Path(spikeport.export(net, sample, 1e-3, tmp_path / "n.bundle").path)


def test_deploy_says_that_ties_are_the_mismatch(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", str(bundle), "--backend", "tying", "--out", str(tmp_path / "d")]) == 1
    out = capsys.readouterr().out
    assert "MISMATCH, 1" in out
    assert TOLD in out
    assert "equal" not in out


def test_bench_and_report_say_it(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = (np.random.default_rng(0).random((5, 12, 6)) < 0.5).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.zeros(5, int))
    results, page = tmp_path / "r.json", tmp_path / "r.html"
    options = ["--data", str(tmp_path / "data.npz"), "--json", str(results), "--html", str(page)]
    assert main(["bench", str(bundle), "--backend", "tying", *options]) == 1
    (row,) = json.loads(results.read_text("utf-8"))["rows"]
    assert (row["status"], row["agreement"]["exact"]) == ("mismatch", False)
    assert TOLD in row["reason"]
    assert TOLD in capsys.readouterr().out
    assert TOLD in page.read_text("utf-8")


def agreed(entries: int, ties: int = 0, mismatches: int = 0, shared: int = 100) -> Agreement:
    node = NodeAgreement(True, entries, ties, mismatches, 0, 100, 100, shared)
    first = Difference(3, 0, "n", (1,), 0.5) if mismatches else None
    return Agreement({"n": node}, {"n": 0}, first_divergence=first)


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        (agreed(1000), "1000 entries equal"),
        (agreed(10**6, ties=10), "1000000 entries equal but for 10 ties within rounding"),
        (agreed(10**6, ties=11), f"11 of 1000000 entries are {TOLD}"),
        (agreed(1000, ties=7, mismatches=2), "2 of 1000 entries differ beyond rounding, first at step 3, sample 0, "),
    ],
)
def test_how_an_audit_came_out(agreement: Agreement, words: str) -> None:
    assert describe(agreement).startswith(words)


def test_the_stage_that_differs_is_told_not_the_one_with_the_lowest_jaccard() -> None:
    """An exact stage with an allowed tie, beside one of values that mismatch and whose few spikes are all shared."""
    stages = {"exact": agreed(10**6, ties=1, shared=99), "values": agreed(1000, mismatches=5)}
    status, reason = audit_verdict(stages, quantised=())
    assert (status, reason) == ("mismatch", describe(stages["values"]))
