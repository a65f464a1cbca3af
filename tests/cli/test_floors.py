"""`--floor` as a CI gate: any number of a row; what is missing or failed is null with its reason and never met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spikeport.cli import main
from spikeport.cli.floors import Floor
from spikeport.deploy import backends
from spikeport.errors import UsageError


def bench(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str]:
    code = main(["bench", *map(str, argv)])
    return code, capsys.readouterr().err


def test_any_number_of_a_row_is_a_floor(
    bundle_path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (bundle_path, "--data", data_path)
    out = tmp_path / "r.json"
    assert bench(capsys, *given, "--json", out, "--floor", "agreement.exact=1", "--floor", "agreement.spikes=1")[0] == 0
    spikes = json.loads(out.read_text())["rows"][0]["counts"]["per_sample"]["spikes"]
    assert spikes > 0
    path = "counts.per_sample.spikes"
    met, missed = (f"--floor=reference:{path}={value}" for value in (spikes, 1.001 * spikes))
    code, err = bench(capsys, *given, met, missed, "--floor", "timing.samples_per_s=1e12")
    assert code == 1
    assert err.count("floor: ") == 2, "the met one is not named, every missed one is"
    assert f"{path} is {spikes:.6g}, below" in err


def test_a_missing_figure_is_not_met_and_its_reason_is_told(
    bundle_path: Path, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = bench(capsys, bundle_path, "--data", data_path, "--floor", "measured.joules_total=0")
    assert code == 1
    assert "unknown, not above 0: joules were not measured" in err
    code, err = bench(capsys, bundle_path, "--data", data_path, "--floor", "norse:accuracy=0")
    assert code == 1
    assert "there is no row 'norse'" in err


def test_a_failed_row_is_null_with_its_reason_and_fails(
    bundle_path: Path,
    data_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the chip is on fire")

    monkeypatch.setattr(type(backends.get("reference")), "lower", broken)
    out = tmp_path / "r.json"
    code, err = bench(capsys, bundle_path, "--data", data_path, "--json", out, "--floor", "accuracy=0")
    assert code == 1
    assert "accuracy is unknown" in err
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["status"], row["reason"]) == ("failed", "RuntimeError: the chip is on fire")
    for figure_name in ("accuracy", "agreement", "counts", "measured", "timing", "footprint", "discrimination"):
        assert row[figure_name] is None, figure_name
    assert row["energy"] == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("accuracy", "not a floor"),
        ("accuracy=", "not a floor"),
        ("accuracy=nan", "not a floor"),
        ("accuracy=90", "share of 1"),
        ("acuracy=0.9", "no number 'acuracy'"),
        ("accuracy.ci95=0.9", "no number"),
        ("counts=1", "no number"),
        ("dataset.name=1", "no number"),
        ("energy.low_pj=1", "no number"),
        ("energy.horowitz45-compute=1", "no number"),
        ("energy.horowitz45-compute.source<=1", "no number"),
        ("stages.core.share_of_ops=1", "no number"),
        ("accuracy<=90", "share of 1"),
    ],
)
def test_what_is_no_floor(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Floor.parse(text)


def test_paths_lead_into_nodes() -> None:
    assert Floor.parse("snn:counts.per_node.lif1.rate=0.01") == Floor("snn", "counts.per_node.lif1.rate", 0.01)
    assert Floor.parse("a/snn@timesteps=4:accuracy=0.5") == Floor("a/snn@timesteps=4", "accuracy", 0.5)
    assert Floor.parse("snn:energy.loihi1.high_pj<=1e6") == Floor("snn", "energy.loihi1.high_pj", 1e6, ceiling=True)
    assert Floor.parse("accuracy>=0.5") == Floor(None, "accuracy", 0.5)
