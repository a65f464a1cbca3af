"""The suite against Lava: the two sides compute the same spikes, and the rows say what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spikeport.benchmarks.suites import loihi_engine
from spikeport.benchmarks.suites.loihi_engine import run
from spikeport.benchmarks.suites.loihi_nets import SuiteNet, suite_input, suite_nets
from spikeport.benchmarks.suites.result import SuiteResult
from spikeport.cli import main
from spikeport.deploy.loihi.engine import Engine
from spikeport.errors import UnavailableError


@pytest.fixture(scope="module")
def nets() -> list[SuiteNet]:
    return suite_nets()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, nets: list[SuiteNet]) -> None:
    """Two of the networks, once."""
    monkeypatch.setattr(loihi_engine, "suite_nets", lambda: nets[:2])
    monkeypatch.setattr(loihi_engine, "ROUNDS", 1)
    monkeypatch.setattr(loihi_engine, "LAVA_REPEATS", 1)


def test_a_tenth_of_the_neurons_fires(nets: list[SuiteNet]) -> None:
    assert [net.name for net in nets] == ["dense-784-512-10", "conv-28", "conv-34"]
    for net in nets:
        records = Engine(net.network()).run({"input": suite_input(net, 8)})
        rates = [float(records.spikes[p.name].mean()) for p in net.network().populations[:-1]]
        assert all(0.05 < rate < 0.15 for rate in rates), (net.name, rates)
        for layer in net.layers:
            assert np.all(layer.weight % 2 == 0)
            assert layer.weight.min() < 0 < layer.weight.max()


@pytest.mark.usefixtures("short")
def test_both_sides_are_timed_and_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "suite.json"
    assert main(["bench", "--suite", "loihi-engine", "--json", str(out)]) == 0
    result = SuiteResult.model_validate_json(out.read_text())
    assert [row.case for row in result.rows] == [
        "dense-784-512-10/batch-128", "dense-784-512-10/batch-1", "conv-28/batch-128", "conv-28/batch-1",
    ]  # fmt: skip
    for row in result.rows:
        assert row.equal is True
        assert row.theirs is not None
        assert row.ratio == pytest.approx(row.theirs / row.ours)
        assert row.ratio > 20
        assert {"Lava start-up s", "limit us", "hidden activity"} <= set(row.notes)
    assert {"suite", "machine", "rows"} == set(json.loads(out.read_text()))
    assert "conv-28/batch-1" in capsys.readouterr().out


@pytest.mark.usefixtures("short")
def test_a_difference_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nets: list[SuiteNet]
) -> None:
    monkeypatch.setattr(loihi_engine, "suite_nets", lambda: nets[:1])
    monkeypatch.setattr(loihi_engine, "DV", loihi_engine.DV + 300)
    assert main(["bench", "--suite", "loihi-engine"]) == 1
    assert "computed different things" in capsys.readouterr().err


@pytest.mark.usefixtures("short")
def test_without_lava_there_is_a_reason_and_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> None:
        raise UnavailableError("environment 'lava'", "no network", "Connect")

    monkeypatch.setattr(loihi_engine.Environment, "run", unavailable)
    for row in run().rows:
        assert (row.theirs, row.ratio, row.equal) == (None, None, None)
        assert row.reason is not None
        assert "no network" in row.reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench"], "names nothing to measure"),
        (["bench", "--suite", "loihi-engin"], "loihi-engine"),
        (["bench", "x", "--suite", "loihi-engine"], "brings its own networks"),
    ],
)
def test_bad_requests_are_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
