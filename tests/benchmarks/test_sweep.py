"""Sweeps and several twins, on a small trained run: a point that changes nothing equals the unchanged row."""

from __future__ import annotations

import bench_results as bench
import numpy as np
import pytest
from small_runs import train_small

from spikeport.benchmarks.report import pareto, render_html
from spikeport.benchmarks.results import read_results
from spikeport.benchmarks.samples import DataRequest, load_samples
from spikeport.benchmarks.subject import open_subject
from spikeport.benchmarks.sweep import Sweep, _by_ratio, _in_steps, check_names
from spikeport.cli import main
from spikeport.errors import UsageError
from spikeport.train.evaluate import evaluate
from spikeport.train.noise import corrupted
from spikeport.train.run import load_run
from spikeport.train.samples import open_dataset


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    kinds = {"snn": [], "relu": ["kind=ann"], "quantised": ["kind=ann", "twin.kind=quantised"]}
    return train_small(tmp_path_factory.mktemp("runs"), kinds)


@pytest.fixture(scope="module")
def swept(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "r.json"
    argv = ["bench", runs / "snn", "--ann", runs / "relu", "--ann", runs / "quantised", "--backend", "reference"]
    argv += ["--backend", "loihi", "--samples", "20", "--json", out, "--html", out.with_suffix(".html")]
    for text in (
        "timesteps=2,4",
        "threshold_scale=0.5,1",
        "noise=0,3",
        "weight_bits=2",
        "snr_db=0",
        "snr_db.audio=0",
    ):
        argv += ["--sweep", text]
    assert main([str(a) for a in argv]) in (0, 1)
    return {row.id: row for row in read_results(out).rows}, read_results(out)


def test_a_point_that_changes_nothing_equals_the_unchanged_row(swept):
    rows, _ = swept
    for point in ("timesteps=4", "threshold_scale=1", "noise=0"):
        for name in ("snn", "reference"):
            same = rows[f"snn/{name}@{point}"]
            assert same.counts == rows[f"snn/{name}"].counts, (name, point)
            assert same.accuracy == rows[f"snn/{name}"].accuracy
            assert same.status == "ok", same.reason


def test_every_sweep_changes_what_it_says(swept):
    rows, _ = swept
    base = rows["snn/snn"].counts.totals

    def totals(point):
        return rows[f"snn/snn@{point}"].counts.totals

    assert totals("timesteps=2").neuron_updates * 2 == base.neuron_updates
    condition = rows["snn/snn@timesteps=2"].condition
    assert condition["T"] == 2
    assert (condition["T.image"], condition["T.audio"]) == ("encoded anew", "first steps")
    assert "T.image" not in rows["snn/snn"].condition
    assert totals("threshold_scale=0.5").spikes > base.spikes
    assert totals("noise=3").spikes != base.spikes
    assert rows["snn/ann@noise=3"].accuracy.n == 20
    assert rows["snn/loihi@weight_bits=2"].condition["weight_bits"] == 2
    assert "snn/reference@weight_bits=2" not in rows
    assert "snn/ann@timesteps=2" not in rows


def test_a_ratio_is_added_to_the_samples_that_every_row_answers(swept, runs):
    rows, _ = swept
    run = load_run(runs / "snn")
    test = open_dataset(run.recipe).split("test").take(slice(20))
    for label, inputs in (("snr_db", ("image", "audio")), ("snr_db.audio", ("audio",))):
        noisy = corrupted(test, dict.fromkeys(inputs, 0.0), run.recipe.data.split_seed)
        hits_N = evaluate(run, noisy).argmax(1).numpy() == test.labels
        row = rows[f"snn/snn@{label}=0"]
        assert row.accuracy.value == hits_N.mean()
        assert row.condition[label] == 0
        assert row.swept == {label: 0}
        assert rows[f"snn/reference@{label}=0"].status == "ok"
        assert rows[f"snn/ann@{label}=0"].accuracy.n == 20
    assert rows["snn/snn@snr_db=0"].counts != rows["snn/snn@snr_db.audio=0"].counts


def test_no_noise_at_all_leaves_the_samples_as_they_are(runs, tmp_path):
    subject, request = open_subject(runs / "snn", tmp_path), DataRequest(limit=5)
    clean = load_samples(request, subject.recipe, subject.shapes, subject.timesteps, subject.classes)
    for ratio, same in ((np.inf, True), (0.0, False)):
        found = _by_ratio(Sweep("snr_db", (ratio,), "audio"), subject, clean, request, ratio)
        np.testing.assert_array_equal(found.encoded["image"], clean.encoded["image"])
        assert np.array_equal(found.encoded["audio"], clean.encoded["audio"]) == same
        assert not found.anew, "it would encode the clean samples"
    with pytest.raises(UsageError, match="Did you mean 'audio'"):
        _by_ratio(Sweep("snr_db", (0.0,), "adio"), subject, clean, request, 0.0)
    for other in (DataRequest("own.npz"), DataRequest("nmnist")):
        with pytest.raises(UsageError, match="Bench a run or its bundle on its own data"):
            _by_ratio(Sweep("snr_db", (0.0,)), subject, clean, other, 0.0)


def test_each_twin_has_its_row_and_its_verdict(swept):
    rows, results = swept
    assert "with 3-bit activations, for T = 4" in rows["snn/ann-quantised"].twin
    assert rows["snn/ann"].twin.startswith("same topology with ReLU:")
    assert {c.ann for c in results.comparisons} == {"snn/ann", "snn/ann-quantised"}
    page = render_html(results)
    assert "horowitz45-compute against snn/ann-quantised" in page
    assert 'id="sweeps"' in page
    charts = bench.figures(page)
    energies = {f"chart-pareto-energy-{i}" for i in range(3)}
    assert {"chart-pareto-operations", *energies} <= set(charts)
    titles = [charts[chart]["layout"]["xaxis"]["title"]["text"] for chart in sorted(energies)]
    for model, title in zip(("horowitz45-compute", "horowitz45-neurons", "lemaire45-memory"), titles, strict=True):
        assert model in title


def test_the_same_twin_twice_is_refused(runs, capsys):
    argv = ["bench", runs / "snn", "--ann", runs / "relu", "--ann", runs / "relu", "--samples", "5"]
    assert main([str(a) for a in argv]) == 2
    assert "same kind of twin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("timestep=4", "Did you mean 'timesteps'"),
        ("timesteps", "different numbers"),
        ("timesteps=4,4", "different numbers"),
        ("timesteps=4,x", "different numbers"),
        ("timesteps=2.5", "whole number"),
        ("weight_bits=0", "whole number"),
        ("threshold_scale=0", "above 0"),
        ("noise=-1", "0 or more"),
        ("noise=inf", "0 or more"),
        ("noise=nan", "0 or more"),
        ("snr_db=inf", "a number of dB"),
        ("snr_db=nan", "a number of dB"),
        ("snr_db.=1", "no such sweep"),
        ("noise.audio=1", "no such sweep"),
    ],
)
def test_sweeps_that_are_none(text, match):
    with pytest.raises(UsageError, match=match):
        Sweep.parse(text)


def test_one_condition_is_swept_once():
    with pytest.raises(UsageError, match="swept twice"):
        check_names([Sweep.parse("noise=0"), Sweep.parse("noise=1")])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--sweep", "timesteps=5"], "the samples have 4 steps"),
        (["--sweep", "weight_bits=4"], "no backend is named that quantises"),
    ],
)
def test_sweeps_that_cannot_be_done_are_refused(runs, capsys, options, match):
    assert main(["bench", str(runs / "snn"), "--samples", "5", *options]) == 2
    assert match in capsys.readouterr().err


def test_stills_are_encoded_anew_and_encoded_inputs_are_stopped(tmp_path):
    """A still of 0.3 in one pixel: one latency spike at (1 - 0.3)(T - 1) rounded, which a cut to 2 steps would lose."""
    still = np.zeros((3, 2), dtype=np.float32)
    still[:, 0] = 0.3
    np.savez(tmp_path / "raw.npz", x=still, y=[0, 1, 0])
    raw = load_samples(DataRequest(str(tmp_path / "raw.npz"), ["x=latency"], limit=2), None, {"x": (2,)}, 11, 2)
    assert raw.encoded["x"][:, 0, 0].tolist() == [0] * 7 + [1] + [0] * 3
    for steps, at in ((3, 1), (21, 14)):
        found, told = _in_steps(raw, steps)
        assert found.encoded["x"].shape == (steps, 2, 2)
        assert found.encoded["x"][:, 0, 0].nonzero()[0].tolist() == [at]
        assert told == {"T.x": "encoded anew"}
    np.testing.assert_array_equal(_in_steps(raw, 11)[0].encoded["x"], raw.encoded["x"])
    assert _in_steps(raw, 3)[0].sha256 == raw.sha256, "the same samples, whatever T"

    np.savez(tmp_path / "encoded.npz", x=raw.encoded["x"].transpose(1, 0, 2), y=[0, 1])
    encoded = load_samples(DataRequest(str(tmp_path / "encoded.npz")), None, {"x": (2,)}, 11, 2)
    found, told = _in_steps(encoded, 8)
    assert encoded.sha256 != raw.sha256
    np.testing.assert_array_equal(found.encoded["x"], raw.encoded["x"][:8])
    assert told == {"T.x": "first steps"}
    with pytest.raises(UsageError, match="is no still"):
        _in_steps(encoded, 12)


def test_the_front_by_hand():
    points = [(3, 90.0), (1, 80.0), (2, 70.0), (4, 90.0), (5, 95.0), (1, 60.0)]
    assert pareto.front(points) == [(1, 80.0), (3, 90.0), (5, 95.0)]
    assert pareto.charts(bench.results()) == ()


def point(name, right, ops, **changes):
    """A row that does `ops` thousand accumulates and is right in `right` of 1000 samples."""
    row = bench.row("snn", "snn", bench.snn(ops / 183), accuracy=bench.accuracy(right), **changes)
    return row.model_copy(update={"id": f"av-digits/{name}"})


def test_rows_under_other_noise_join_no_front():
    noise = {"noise.image": 0.5, "noise.audio": 0.5, "T": 16}
    rows = (
        point("snn", 900, 183),
        point("snn@timesteps=8", 800, 90, swept={"timesteps": 8.0}, condition=noise | {"T": 8.0}),
        # The same noise as the unchanged row has: the same data.
        point("snn@noise=0.5", 950, 250, swept={"noise": 0.5}, condition=noise | {"noise": 0.5}),
        point("snn@noise=0", 990, 60, swept={"noise": 0.0}, condition=dict.fromkeys(noise, 0.0) | {"noise": 0.0}),
        point("snn@snr_db=30", 995, 50, swept={"snr_db": 30.0}, condition=noise | {"snr_db": 30.0}),
    )
    chart = pareto.charts(bench.results(rows=rows, comparisons=(), differences=()))[0]
    (best,) = [trace for trace in chart.data if trace["name"].startswith("best at its cost")]
    assert best["y"] == [80.0, 90.0, 95.0]
    drawn = {trace["name"]: trace["y"] for trace in chart.data}
    assert drawn["snn, noise"] == [99.0, 95.0]
    assert drawn["snn, snr_db"] == [99.5]


def test_networks_on_different_data_have_a_front_each():
    other = bench.DATASET.model_copy(update={"name": "own.npz"})
    rows = (
        point("snn", 900, 183),
        point("snn@timesteps=8", 800, 90, swept={"timesteps": 8.0}),
        point("b/snn", 990, 60, dataset=other),
    )
    chart = pareto.charts(bench.results(rows=rows, comparisons=(), differences=()))[0]
    fronts = {t["name"]: t["y"] for t in chart.data if t["name"].startswith("best at its cost")}
    assert list(fronts.values()) == [[80.0, 90.0], [99.0]]
    assert any("own.npz" in name for name in fronts)
    assert {t["name"] for t in chart.data} - set(fronts) == {
        "av-digits/snn, unchanged", "av-digits/snn, timesteps", "av-digits/b/snn, unchanged",
    }, "networks share no trace"  # fmt: skip
