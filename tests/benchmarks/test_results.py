"""The schema refuses what it must; files round-trip; intervals by published numbers."""

from __future__ import annotations

import json

import bench_results as bench
import numpy as np
import pytest
from pydantic import ValidationError

from spikeport.benchmarks import blocks
from spikeport.benchmarks.results import read_results, write_results
from spikeport.benchmarks.statistics import paired_difference, wilson
from spikeport.errors import ArtefactError, UsageError


def test_round_trip(tmp_path):
    path = tmp_path / "results.json"
    results = bench.results()
    write_results(results, path)
    assert read_results(path) == results
    content = json.loads(path.read_text())
    assert content["schema"] == 2
    agreed = (
        "id name kind twin model bundle seed dataset condition dt_s timesteps status reason accuracy coverage "
        "agreement stages counts energy measured timing"
    )
    assert set(agreed.split()) <= set(content["rows"][0]), "the names of design.md"


def test_totals_are_exact_and_means_divide_them():
    counts = bench.row("snn", "snn", bench.snn()).counts
    assert counts.totals.synops_ac == 183_000 * bench.N
    assert counts.per_sample.synops_ac == 183_000
    assert counts.per_sample.synops_mac == 26_624 + 1280
    assert counts.per_node["fused_lif"].rate == pytest.approx(310 / (128 * 16))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"timing": None}, "'timing' is null without a reason"),
        ({"missing": {}}, "'measured' is null without a reason"),
        ({"missing": {**bench.NOT_MEASURED, "timing": "lost"}}, "both|a value and a reason"),
        ({"missing": {**bench.NOT_MEASURED, "typo": "x"}}, "typo"),
        ({"status": "mismatch"}, "mismatch without a reason"),
        ({"status": "quantised"}, "quantised without a reason"),
        ({"coverage": None}, "'coverage' is null without a reason"),
        ({"energy": ()}, "energy"),
        ({"surprise": 1}, "surprise"),
        ({"dt_s": float("nan")}, "dt_s"),
    ],
)
def test_a_row_refuses(changes, match):
    with pytest.raises(ValidationError, match=match):
        bench.row("snn", "snn", bench.snn(), **changes)


def test_nan_and_infinity_are_refused_deep_inside():
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="finite"):
            blocks.Timing(ms_per_sample=bad, samples_per_s=1, batch=1, repeats=1, spread=None)


def test_an_estimate_is_whole_or_explained():
    estimates = bench.row("snn", "snn", bench.snn()).energy
    fields = next(e for e in estimates if e.model == "horowitz45-compute").model_dump()
    for changes in ({"low_pj": None}, {"low_pj": 1e9}, {"reason": "none"}):
        with pytest.raises(ValidationError, match="estimate"):
            blocks.EnergyEstimate(**(fields | changes))


def test_rows_are_unique_and_comparisons_name_them():
    snn = bench.row("snn", "snn", bench.snn())
    with pytest.raises(ValidationError, match="not unique"):
        bench.results(rows=(snn, snn), comparisons=(), differences=())
    with pytest.raises(ValidationError, match="no row av-digits/ann"):
        bench.results(rows=(snn,), differences=())


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("not json", "not JSON"),
        ("[1]", "not a results.json"),
        ('{"suite": "counting", "rows": []}', "not a results.json"),
        ('{"schema": 7, "rows": []}', "schema 7, this spikeport reads 1 and 2"),
        ('{"schema": 1, "rows": [{"id": "a"}]}', "created"),
        (None, "cannot be read"),
    ],
)
def test_a_foreign_file_is_refused_with_the_path(tmp_path, content, match):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArtefactError, match=match) as caught:
        read_results(path)
    assert str(path) in str(caught.value)


def test_a_file_with_nan_is_refused(tmp_path):
    path = tmp_path / "results.json"
    write_results(bench.results(), path)
    path.write_text(path.read_text().replace('"ms_per_sample": 3.45', '"ms_per_sample": NaN', 1))
    with pytest.raises(ArtefactError, match=r"rows\.0\.timing\.ms_per_sample"):
        read_results(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    path.write_text("old")
    monkeypatch.setattr("pathlib.Path.write_text", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_results(bench.results(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
    assert path.read_bytes() == b"old"


def test_wilson_by_newcombes_table():
    """Newcombe 1998 (Statist. Med. 17:857), method 3: 81/263, 15/148, 0/20, 1/29."""
    for (right, n), wanted in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson(right, n) == pytest.approx(wanted, abs=5e-5)
    assert wilson(20, 20)[1] == 1.0


def test_paired_interval_by_its_definition():
    """36 both, 12 only first, 2 only second, 0 neither: recomputed here from the paper's formula."""
    first = [True] * 36 + [True] * 12 + [False] * 2
    second = [True] * 36 + [False] * 12 + [True] * 2
    paired = paired_difference(first, second)
    assert (paired.difference, paired.only_first, paired.only_second) == (pytest.approx(0.2), 12, 2)
    (l1, u1), (l2, u2) = wilson(48, 50), wilson(38, 50)
    phi = (36 * 0 - 12 * 2) / np.sqrt(48 * 2 * 38 * 12)
    low = 0.2 - np.sqrt((0.96 - l1) ** 2 - 2 * phi * (0.96 - l1) * (u2 - 0.76) + (u2 - 0.76) ** 2)
    high = 0.2 + np.sqrt((u1 - 0.96) ** 2 - 2 * phi * (u1 - 0.96) * (0.76 - l2) + (0.76 - l2) ** 2)
    assert paired.ci95 == (pytest.approx(low), pytest.approx(high))
    mirrored = paired_difference(second, first)
    assert mirrored.ci95 == (pytest.approx(-high), pytest.approx(-low))


def test_paired_interval_covers_the_truth():
    """Coverage over 400 draws of correlated answers with a true difference of 3 points."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        u = rng.random(300)
        first, second = u < 0.95, np.where(rng.random(300) < 0.8, u < 0.92, rng.random(300) < 0.92)
        low, high = paired_difference(first, second).ci95
        covered += low <= 0.03 <= high
    assert 0.92 <= covered / 400 <= 0.99


def test_proportions_that_are_none_are_refused():
    with pytest.raises(UsageError, match="0 right of 0"):
        wilson(0, 0)
    with pytest.raises(UsageError, match="same samples"):
        paired_difference([True], [True, False])
