"""`--require-coverage X`: what a sample did not exercise fails the verb by name, and the advice helps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

import spikeport
from spikeport.cli import main
from spikeport.train.recipe import load_recipe
from spikeport.train.run import train_run

T = 6
ADVICE = "not proven: deep never fired: give more samples, or samples that drive it"


class Layers(nn.Module):
    """The second layer fires only where both of the first do at once."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(2, 2, bias=False), neuron()
        self.join, self.deep = nn.Linear(2, 3, bias=False), neuron()
        with torch.no_grad():
            self.fc.weight.copy_(2 * torch.eye(2))
            self.join.weight.fill_(0.6)

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.deep(self.join(self.lif(self.fc(x))))
        return spikes


def neuron() -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.1, init_hidden=True, reset_mechanism="zero")


def samples(together: bool) -> np.ndarray:
    """Ten samples [N, T, 2]; the two inputs come at once or apart, and never in the last step."""
    x = np.zeros((10, T, 2), np.float32)
    x[:, 0, 0] = x[:, 0 if together else 2, 1] = 1
    return x


@pytest.fixture(scope="module", params=[False, True], ids=["apart", "together"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, Path, Path]:
    """Whether the second layer fires, the bundle, and labelled samples."""
    together, folder = request.param, tmp_path_factory.mktemp("case")
    x = samples(together)
    spikeport.export(Layers(), torch.from_numpy(x).transpose(0, 1), 1e-3, folder / "n.bundle")
    np.savez(folder / "data.npz", x=x, y=np.zeros(10, int))
    return together, folder / "n.bundle", folder / "data.npz"


def said(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_deploy_tells_and_gates(case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fires, bundle, _ = case
    deploy = ("deploy", bundle, "--backend", "reference")
    code, out, _ = said(capsys, *deploy, "--out", tmp_path / "a")
    assert code == 0
    assert "core: exact" in out
    assert (ADVICE in out) == (not fires)
    assert ("coverage: 100 %" in out) == fires
    code, _, err = said(capsys, *deploy, "--out", tmp_path / "b", "--require-coverage", "0.5")
    assert code == (0 if fires else 1)
    assert ("coverage: b: deep is 0 %, 3 of 3 never fired: less than 0.5" in err) == (not fires)
    assert "lif is" not in err


def test_bench_tells_and_gates(case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fires, bundle, data = case
    bench = ("bench", bundle, "--data", data, "--backend", "reference", "--json", tmp_path / "r.json")
    code, out, _ = said(capsys, *bench)
    assert code == 0
    assert (f"reference: {ADVICE}" in out) == (not fires)
    (row,) = json.loads((tmp_path / "r.json").read_text())["rows"]
    deep = {"neurons": 3, "share": 1.0, "never_exercised": 0, "always": 0}
    assert row["coverage"]["per_node"]["deep"] == (deep if fires else deep | {"share": 0.0, "never_exercised": 3})
    assert row["timing"]["repeats"] > 1
    code, _, err = said(capsys, *bench, "--require-coverage", "1")
    assert code == (0 if fires else 1)
    assert ("coverage: n/reference: deep is 0 %, 3 of 3 never fired: less than 1" in err) == (not fires)
    floor = ("--floor", "coverage.per_node.deep.share=0.5")
    assert said(capsys, *bench, *floor)[0] == (0 if fires else 1)


def test_a_coverage_that_no_row_has_is_not_met(case, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from spikeport.deploy.reference import ReferenceBackend
    from spikeport.errors import UnavailableError

    def missing(self, graph, calibration=None):
        raise UnavailableError("reference", "it is not here", "Wait")

    _, bundle, data = case
    monkeypatch.setattr(ReferenceBackend, "lower", missing)
    code, _, err = said(capsys, "bench", bundle, "--data", data, "--require-coverage", "0")
    assert code == 1
    assert "no row was held against the reference" in err


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = ["training.epochs=1", "timesteps=4", "data.params.frames=4", "model.params={channels: [2, 3]}"]
    folder = tmp_path_factory.mktemp("runs") / "small"
    train_run(load_recipe("av-digits", small), folder)
    return folder


def test_export_writes_nothing_below_what_is_required(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(capsys, "export", run_path, "--samples", "1", "--out", tmp_path / "one.bundle")
    assert code == 0
    few = json.loads((tmp_path / "one.bundle" / "manifest.json").read_text())["verification"]["coverage"]["per_node"]
    least = min(node["share"] for node in few.values())
    assert 0 <= least < 0.9, "one sample does not exercise all"
    lacking = next(name for name, node in few.items() if node["share"] == least)
    assert f"  {lacking}: " in out
    export = ("export", run_path, "--out", tmp_path / "n.bundle", "--require-coverage", least + 0.01)
    code, _, err = said(capsys, *export, "--samples", "1")
    assert code == 1
    assert f"'{lacking}' " in err
    assert "Give more samples" in err
    assert [path.name for path in tmp_path.iterdir()] == ["one.bundle"]
    assert said(capsys, *export, "--samples", "64")[0] == 0


@pytest.mark.parametrize("share", ["-0.1", "1.5", "90", "nan"])
@pytest.mark.parametrize("verb", ["export", "deploy", "bench"])
def test_a_share_that_is_none_is_a_usage_error(
    verb: str, share: str, bundle_path: Path, run_path: Path, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = {
        "export": ("export", run_path),
        "deploy": ("deploy", bundle_path, "--backend", "reference"),
        "bench": ("bench", bundle_path, "--data", data_path),
    }[verb]
    code, _, err = said(capsys, *argv, f"--require-coverage={share}")
    assert code == 2
    assert "it is a share of 1. Write 0.9 for 90 percent" in err


def test_a_coverage_of_nothing_is_refused(
    run_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--require-coverage", "0.5")
    cases = {
        "nothing is verified": ("export", run_path, "--no-verify", *asked),
        "carries no samples": ("deploy", bundle_path / "00_core.nir", "--dt", "1e-3", "--backend", "reference", *asked),
        "a suite has no proof": ("bench", "--suite", "counting", *asked),
    }
    for reason, argv in cases.items():
        code, _, err = said(capsys, *argv)
        assert code == 2
        assert reason in err
