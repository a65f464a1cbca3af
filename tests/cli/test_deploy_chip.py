"""`spikeport deploy --backend loihi` places the network on chips and says what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spikeport.cli import main
from spikeport.deploy.loihi.mapper.blocks import ChipMapping
from spikeport.deploy.loihi.mapper.chip import CHIPS


def test_both_chips_by_default(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "d"
    assert main(["deploy", str(bundle_path), "--backend", "loihi", "--out", str(place)]) == 0
    out = capsys.readouterr().out
    assert "crossing spikes/sample" in out
    assert "no energy per operation is published for Loihi 2" in out
    assert "estimated, not measured" in out
    written = json.loads((place / "core" / "mapping.json").read_text("utf-8"))
    mappings = {name: ChipMapping.model_validate(block) for name, block in written.items()}
    assert set(mappings) == {"loihi1", "loihi2"}
    for mapping in mappings.values():
        assert mapping.fits
        assert sum(sum(core.layers.values()) for core in mapping.cores) == mapping.neurons == 8
        assert mapping.traffic is not None


def test_a_chip_that_is_too_small(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = CHIPS.read_text("utf-8")
    small = text[text.index("loihi1:") : text.index("loihi2:")].replace("loihi1:", "small:")
    (tmp_path / "small.yaml").write_text(small.replace("value: 4096", "value: 2"), "utf-8")
    options = ["--chip", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "d")]
    assert main(["deploy", str(bundle_path), "--backend", "loihi", *options]) == 0
    out = capsys.readouterr().out
    assert "alone needs" in out
    assert "A fan-in of at most 2 distinct sources fits" in out
    written = json.loads((tmp_path / "d" / "core" / "mapping.json").read_text("utf-8"))
    assert written["small"]["breach"]["limit"] == "in_axons"


@pytest.mark.parametrize(
    ("backend", "chip", "message"),
    [("loihi", "loihi3", "there is no such chip"), ("reference", "loihi1", "places nothing on a chip")],
)
def test_a_wrong_chip_is_refused_before_anything_runs(
    backend: str, chip: str, message: str, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "d"
    assert main(["deploy", str(bundle_path), "--backend", backend, "--chip", chip, "--out", str(place)]) == 2
    assert message in capsys.readouterr().err
    assert not place.exists()


def test_bench_keeps_the_mapping(bundle_path: Path, data_path: Path, tmp_path: Path) -> None:
    results, page = tmp_path / "r.json", tmp_path / "r.html"
    options = ["--data", str(data_path), "--samples", "10", "--json", str(results), "--html", str(page)]
    assert main(["bench", str(bundle_path), "--backend", "reference", "--backend", "loihi", *options]) == 0
    reference, loihi = json.loads(results.read_text("utf-8"))["rows"]
    assert reference["mapping"] == {}
    assert loihi["mapping"]["loihi1"]["fits"]
    assert loihi["mapping"]["loihi2"]["missing"]["energy"] == "no energy per operation is published for Loihi 2"
    assert "chart-placement-1" in page.read_text("utf-8")
