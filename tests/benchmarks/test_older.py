"""A results.json of schema 1, as it was written then: what it lacks is unknown, and it is told in every form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spikeport.benchmarks.older import OLDER
from spikeport.benchmarks.results import read_results, write_results
from spikeport.cli import main
from spikeport.errors import ArtefactError

STORED = Path(__file__).parent / "stored" / "results_1.json"


@pytest.fixture
def then() -> dict:
    content = json.loads(STORED.read_text(encoding="utf-8"))
    assert content["schema"] == 1
    return content


def test_what_it_says_is_kept_and_what_it_lacks_is_unknown(then: dict) -> None:
    results = read_results(STORED)
    assert results.schema_version == 2
    assert [row.id for row in results.rows] == [row["id"] for row in then["rows"]]
    for row, was in zip(results.rows, then["rows"], strict=True):
        assert row.coverage is None
        assert row.status in ("unavailable",) or row.missing["coverage"] == OLDER
        assert (row.reason, row.model) == (was["reason"], was["model"])
        assert row.accuracy is None or row.accuracy.value == was["accuracy"]["value"]
        assert row.agreement is None or row.agreement.spikes == was["agreement"]["spikes"]


def test_milliseconds_a_step_become_milliseconds_a_sample(then: dict) -> None:
    """An ANN's step was its whole inference, a spiking network's one of four: only one figure was comparable."""
    steps = {"ann": 1, "snn": 4, "loihi": 4}
    for row, was in zip(read_results(STORED).rows, then["rows"], strict=True):
        if row.name not in steps:
            assert row.timing is None
            continue
        assert row.timing is not None
        assert row.timing.ms_per_sample == pytest.approx(was["timing"]["ms_per_step"] * steps[row.name])
        assert (row.timing.repeats, row.timing.spread) == (None, None)


def test_a_mismatch_by_declaration_is_quantised_and_any_other_stays_one(then: dict, tmp_path: Path) -> None:
    statuses = {row.name: row.status for row in read_results(STORED).rows}
    assert {row["name"]: row["status"] for row in then["rows"]}["loihi"] == "mismatch"
    assert statuses == {"ann": "ok", "snn": "ok", "loihi": "quantised", "norse": "unavailable"}
    then["rows"][2]["reason"] = "3 of 100 entries differ beyond rounding"
    path = tmp_path / "r.json"
    path.write_text(json.dumps(then), encoding="utf-8")
    assert read_results(path).rows[2].status == "mismatch"


def test_what_is_read_is_written_as_schema_2(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_results(read_results(STORED), path)
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == 2
    assert read_results(path) == read_results(STORED)


@pytest.mark.parametrize("form", [[], ["--markdown"], ["--card"], ["--html"], ["--neurobench"], ["other"]])
def test_it_is_told_in_every_form(form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = [str(tmp_path / "out")] if form in (["--html"], ["--neurobench"]) else []
    other = [str(STORED)] if form == ["other"] else []
    options = [] if other else form
    assert main(["report", str(STORED), *other, *options, *file]) == 0
    said = capsys.readouterr().out
    if not file:
        assert "quantised" in said
        assert "mismatch  " not in said


def test_figures_that_came_while_schema_1_lasted_may_be_lacking(then: dict, tmp_path: Path) -> None:
    for row in then["rows"]:
        for name in ("footprint", "discrimination"):
            row.pop(name)
            row["missing"].pop(name, None)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(then), encoding="utf-8")
    snn = read_results(path).rows[1]
    assert snn.footprint is None
    assert snn.missing["footprint"] == snn.missing["discrimination"] == OLDER


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda c: c["rows"][1].update(timing=3), "rows.1.timing"),
        (lambda c: c["rows"][1]["timing"].update(samples_per_s=0), "rows.1.timing.ms_per_sample"),
        (lambda c: c["rows"][1]["timing"].pop("samples_per_s"), "rows.1.timing"),
        (lambda c: c["rows"][1].update(missing=[]), "rows.1.missing"),
        (lambda c: c["rows"][1].update(status="fine"), "rows.1.status"),
        (lambda c: c.update(rows=["row"]), "rows.0"),
        (lambda c: c.update(rows="row"), "rows"),
    ],
)
def test_a_damaged_one_is_refused_by_the_place(damage, where: str, then: dict, tmp_path: Path) -> None:
    damage(then)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(then), encoding="utf-8")
    with pytest.raises(ArtefactError) as caught:
        read_results(path)
    assert where in str(caught.value)
