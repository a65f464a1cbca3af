"""`--weight-bits` on the command line, and what the reports say of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spikeport.cli import main


def test_deploy_says_what_integers_cost(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "d"
    argv = ["deploy", str(bundle_path), "--backend", "loihi", "--weight-bits", "lif=4", "--out", str(place)]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "core in integers, on the 5 samples it was calibrated on:" in said
    (line,) = (line for line in said.splitlines() if line.startswith("  lif "))
    assert line.split()[1] == "4"
    saved = json.loads((place / "core" / "quantisation.json").read_text("utf-8"))
    assert saved["lif"]["weight_bits"] == 4


def test_bench_writes_it_into_the_row(
    bundle_path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, page = tmp_path / "r.json", tmp_path / "r.html"
    bench = ["bench", str(bundle_path), "--data", str(data_path), "--backend", "loihi", "--weight-bits", "3"]
    assert main([*bench, "--json", str(results), "--html", str(page)]) == 0
    (row,) = json.loads(results.read_text("utf-8"))["rows"]
    assert row["condition"]["weight_bits"] == 3
    assert row["quantised"]["lif"]["behaviour"]["rate_float"] > 0
    assert "What integers cost" in page.read_text("utf-8")
    capsys.readouterr()
    assert main(["report", str(results), "--markdown"]) == 0
    assert "## What integers cost" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("backend", "bits", "said"),
    [("reference", "4", "does not quantise"), ("loihi", "9", "1 to 8 bits"), ("loihi", "lif", "no number of bits")],
)
def test_bits_that_cannot_be_are_refused(
    backend: str, bits: str, said: str, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["deploy", str(bundle_path), "--backend", backend, "--weight-bits", bits, "--out", str(tmp_path / "n")]
    assert main(argv) == 2
    assert said in capsys.readouterr().err
