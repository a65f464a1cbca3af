"""Joules in rows, in the reports, on the command line and in the GPU script: from a fake counter, or null with why."""

from __future__ import annotations

import io
import json

import bench_results as bench
import pytest
import torch
from rich.console import Console

from spikeport.benchmarks import blocks, gpu_run
from spikeport.benchmarks.measured import meter as metering
from spikeport.benchmarks.measured.meter import Meter
from spikeport.benchmarks.measured.windows import Plan
from spikeport.benchmarks.report import render_html, render_markdown, render_table
from spikeport.benchmarks.results import Results
from spikeport.cli import main
from spikeport.errors import UnavailableError
from spikeport.models.twin import RELU, Twin
from spikeport.train.recipe import load_recipe
from spikeport.train.run import train_run

PLAN = Plan(window_s=1.0, repeats=2)
SMALL = ["training.epochs=1", "timesteps=4", "data.params.frames=4", "model.params={channels: [2, 3]}"]


class Quick(Twin):
    """An ANN whose batches are looked at."""

    def __init__(self):
        super().__init__(("x",), frozenset(), RELU)
        self.seen = []

    def compute(self, inputs):
        self.seen.append(tuple(inputs["x"].shape))
        return {"logits": inputs["x"]}


def reading(batch, joules=2e-6):
    return blocks.Measured(
        joules_total=joules,
        joules_dynamic=-1e-9,
        device="CPU, package-0",
        method="RAPL; windows of 1 s",
        batch=batch,
        repeats=2,
        standard_error=1e-8,
        note="says nothing about neuromorphic hardware",
    )


def fake(work, counter, plan):
    work.run()
    return reading(work.batch)


@pytest.fixture
def metered_row(monkeypatch):
    monkeypatch.setattr(metering, "measure", fake)
    network = Quick()
    row = bench.row("ann", "ann", bench.ANN)
    return network, Meter("cpu", object(), "", PLAN, (1, 256)).metered(row, network, {"x": torch.ones(20, 3)})


def test_a_row_gets_joules_at_both_batch_sizes(metered_row):
    network, row = metered_row
    assert (row.measured.batch, [m.batch for m in row.measured_also]) == (1, [20])
    assert network.seen == [(1, 3), (20, 3)]
    assert "measured" not in row.missing


def test_reports_keep_measured_and_estimated_apart(metered_row):
    results = bench.results(rows=(metered_row[1], *bench.results().rows[1:]))
    console = Console(file=io.StringIO(), width=220)
    console.print(render_table(results))
    page, markdown = render_html(results), render_markdown(results)
    for shown in (console.file.getvalue(), page, markdown):
        assert "2 µJ" in shown
        assert "-1 nJ" in shown
        assert "says nothing about neuromorphic hardware" in shown
    assert 'id="measured"' in page
    assert "No joule was measured here" not in page
    assert "No joule was measured here" in render_html(bench.results())
    columns = markdown.split("## Energy (measured)")[1].splitlines()[2]
    assert "horowitz" not in columns
    assert Results.model_validate_json(results.model_dump_json(by_alias=True)) == results


def test_without_a_counter_the_row_says_why(monkeypatch):
    def refuse(device):
        raise UnavailableError("/sys/class/powercap", "nothing there", "")

    monkeypatch.setattr(metering, "open_counter", refuse)
    meter = Meter.open("cpu", PLAN)
    row = meter.metered(bench.row("ann", "ann", bench.ANN), Quick(), {"x": torch.ones(4, 3)})
    assert row.measured is None
    assert "nothing there" in row.missing["measured"]
    backend = meter.not_metered(bench.row("norse", "backend", bench.snn()))
    assert "not metered" in backend.missing["measured"]
    never = bench.results().rows[-1]
    assert meter.not_metered(never) == never


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for kind in ("snn", "ann"):
        train_run(load_recipe("av-digits", [*SMALL, f"kind={kind}"]), folder / kind)
    return folder / "snn", folder / "ann"


def test_the_gpu_script_writes_what_it_can_and_says_the_rest(runs, tmp_path, capsys):
    """This machine may have a counter or none; both are told."""
    out = tmp_path / "deep" / "cpu.json"
    argv = [str(runs[0]), "--ann", str(runs[1]), "--device", "cpu", "--samples", "12", "--out", str(out)]
    code = gpu_run.main([*argv, "--batch", "1", "--batch", "8", "--window", "1", "--repeats", "2"])
    rows = json.loads(out.read_text())["rows"]
    assert [row["id"] for row in rows] == [f"{k}/{k}@cpu,batch={b}" for k in ("snn", "ann") for b in (1, 8)]
    assert rows[0]["accuracy"] == rows[1]["accuracy"], "the batch size changes no answer"
    assert all(row["timing"]["samples_per_s"] > 0 for row in rows)
    known = [row["measured"] is not None for row in rows]
    assert code == (0 if all(known) else 1)
    said = capsys.readouterr().err
    assert all(row["missing"]["measured"] in said for row in rows if row["measured"] is None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_gpu_script_without_a_gpu_says_so(runs, capsys):
    assert gpu_run.main([str(runs[0])]) == 1
    assert "torch sees no GPU here" in capsys.readouterr().err


def test_bench_that_is_asked_for_joules_and_has_none_fails(runs, capsys, monkeypatch):
    def refuse(device):
        raise UnavailableError("/sys/class/powercap", "nothing there", "")

    monkeypatch.setattr(metering, "open_counter", refuse)
    bench_it = ["bench", str(runs[0]), "--ann", str(runs[1]), "--samples", "10"]
    assert main(bench_it) == 0
    capsys.readouterr()
    assert main([*bench_it, "--measure-energy", "1"]) == 1
    assert (
        "snn: no joules: unavailable: no energy counter: /sys/class/powercap: nothing there" in capsys.readouterr().err
    )
    monkeypatch.setattr(metering, "open_counter", lambda device: object())
    monkeypatch.setattr(metering, "measure", fake)
    assert main([*bench_it, "--measure-energy", "1"]) == 0
    assert "energy, measured" in capsys.readouterr().out
    assert main([*bench_it, "--measure-energy", "0.01"]) == 2
