"""What a twin must share with the spiking network, and what is told where it does not."""

from __future__ import annotations

import pytest
from small_runs import train_small

from spikeport.benchmarks.report import render_html, tables
from spikeport.benchmarks.results import read_results
from spikeport.cli import main

OTHER = ["seed=3", "training.lr=0.001", "model.params={channels: [2, 4]}"]
KINDS = {
    "snn": [],
    "twin": ["kind=ann", "model.params={channels: [2, 3], fused: 128}"],
    "matched": ["kind=ann", "twin.kind=matched", "twin.macs=50000"],
    "other": ["kind=ann", "twin.kind=quantised", *OTHER],
    "noisy": ["kind=ann", "data.noise.image=1.0"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("runs"), KINDS)


@pytest.fixture(scope="module")
def results(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "r.json"
    argv = ["bench", runs / "snn", "--samples", "10", "--json", out]
    argv += [text for name in ("twin", "matched", "other") for text in ("--ann", runs / name)]
    assert main([str(a) for a in argv]) == 0
    return read_results(out)


def test_twins_by_the_recipe_need_no_word(results):
    """A parameter that the recipe leaves to its default is the same one."""
    rows = {row.id: row for row in results.rows}
    assert rows["snn/ann"].reason is None
    assert rows["snn/ann-matched"].reason is None, "its width differs by design"


def test_what_a_twin_does_not_share_stands_beside_every_verdict(results):
    rows = {row.id: row for row in results.rows}
    reason = rows["snn/ann-quantised"].reason
    assert reason.startswith("not by the spiking network's recipe: ")
    for wanted in (
        "seed is 3 for the ANN and 0 for the spiking network",
        "training.lr is 0.001 for the ANN",
        "model.params.channels is (2, 4)",
    ):
        assert wanted in reason, wanted
    verdicts = {c.ann: c.verdict for c in results.comparisons if c.variants}
    assert verdicts["snn/ann-quantised"].endswith(f"The ANN is {reason}.")
    assert "recipe" not in verdicts["snn/ann"]
    told = [line for line in tables.differences(results) if "ann-quantised" in line]
    assert told
    assert all(reason in line for line in told)
    assert "seed is 3" in render_html(results)


def test_the_gap_is_told_against_each_twin(results):
    pairs = {(d.first, d.second) for d in results.differences}
    assert {("snn/snn", f"snn/{ann}") for ann in ("ann", "ann-matched", "ann-quantised")} <= pairs
    right = {row.id: row.accuracy.value for row in results.rows}
    for d in results.differences:
        assert d.value == pytest.approx(right[d.first] - right[d.second])


def test_other_data_or_noise_is_refused_before_anything_is_measured(runs, capsys, monkeypatch):
    monkeypatch.setattr("spikeport.benchmarks.runner.ann_row", lambda *_: pytest.fail("it measured"))
    assert main(["bench", str(runs / "snn"), "--ann", str(runs / "noisy"), "--samples", "5"]) == 2
    said = capsys.readouterr().err
    assert "trained on other data or noise than 'snn'" in said
    assert "data.noise.image is 1.0 for the ANN and 0.0 for the spiking network" in said
    assert main(["bench", str(runs / "twin"), "--ann", str(runs / "snn"), "--samples", "5"]) == 2
    assert "a spiking network's run" in capsys.readouterr().err
