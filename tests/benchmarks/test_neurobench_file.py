"""The export in NeuroBench's keys: what is known is ours, what is not is null with a reason, and never 0.0."""

from __future__ import annotations

import json

import bench_results as bench
import pytest

from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.network import NetworkCounts
from spikeport.benchmarks.neurobench_file import neurobench
from spikeport.benchmarks.results import write_results
from spikeport.cli import main

KEYS = (
    *("ParameterCount", "Footprint", "ConnectionSparsity", "ClassificationAccuracy", "ActivationSparsity"),
    *("ActivationSparsityByLayer", "MembraneUpdates", "SynapticOperations", "NeuronOperations"),
)


@pytest.fixture
def file(tmp_path):
    stored = blocks.Footprint(parameters=75_000, parameter_bytes=300_000, buffer_bytes=64, state_bytes=9472)
    missing = {name: why for name, why in bench.NOT_MEASURED.items() if name != "footprint"}
    known = bench.snn()
    spiking = bench.row("snn", "snn", NetworkCounts(known.chip), footprint=stored, missing=missing)
    path = tmp_path / "results.json"
    rows = (bench.results().rows[0], spiking, *bench.results().rows[2:])
    write_results(bench.results().model_copy(update={"rows": rows}), path)
    return path


def exported(file, *options):
    out = file.parent / "nb.json"
    assert main(["report", str(file), "--neurobench", str(out), *options]) == 0
    text = out.read_text()
    content = json.loads(text)
    assert text == json.dumps(content, indent=4), "NeuroBench's own indent"
    assert tuple(content) == (*KEYS, "spikeport")
    return content


def test_a_spiking_row_per_sample_and_per_step(file, capsys):
    content = exported(file)
    assert "av-digits/snn" in capsys.readouterr().out
    assert content["ParameterCount"] == 75_000
    assert content["Footprint"] == 300_000 + 64 + 9472
    assert content["ConnectionSparsity"] == 0.0, "no weight is 0, and all were seen"
    assert content["ClassificationAccuracy"] == 0.985
    neurons, spikes = 1728 + 384 + 128 + 128, 1260 + 300 + 250 + 310
    assert content["ActivationSparsity"] == pytest.approx(1 - spikes / (16 * neurons), abs=1e-12)
    assert content["ActivationSparsityByLayer"]["image_lif2"] == pytest.approx(1 - 300 / (16 * 384), abs=1e-12)
    assert content["SynapticOperations"] == {
        "Effective_MACs": 26_624.0,
        "Effective_ACs": 22_000.0 + 91_000 + 38_000 + 32_000,
        "Dense": 691_200.0 + 1_843_200 + 26_624 + 786_432 + 262_144,
    }
    own = content["spikeport"]
    assert own["schema"] == 1
    assert own["per_step"]["synops_ac"] == content["SynapticOperations"]["Effective_ACs"] / 16
    assert own["per_sample"]["neuron_updates"] == 16 * neurons
    for key in ("MembraneUpdates", "NeuronOperations"):
        assert content[key] is None
        assert own["missing"][key]


def test_an_ann_has_no_accumulates_and_no_spikes(file):
    content = exported(file, "--row", "av-digits/ann")
    assert content["SynapticOperations"]["Effective_ACs"] is None
    assert content["ActivationSparsity"] is None
    assert content["ActivationSparsityByLayer"] is None
    missing = content["spikeport"]["missing"]
    for key in KEYS:
        if content[key] is None:
            assert missing[key], key
    assert missing["SynapticOperations.Effective_ACs"]
    assert content["spikeport"]["per_step"]["synops_ac"] is None


def test_a_row_without_counts_has_nulls_with_reasons():
    why = dict.fromkeys(("accuracy", "counts", "energy", "footprint", "discrimination", "measured"), "not asked for")
    row = bench.row("snn", "snn", None, accuracy=None, energy=(), missing=why)
    content = neurobench(bench.results(), row)
    assert {key: content[key] for key in KEYS} == dict.fromkeys(KEYS)
    assert set(KEYS) <= set(content["spikeport"]["missing"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--neurobench", "nb.json", "--row", "av-digits/snm"], "Did you mean 'av-digits/snn'"),
        (["--neurobench", "nb.json", "--row", "av-digits/lava-float"], "none that ran"),
        (["--row", "av-digits/snn"], "Add --neurobench"),
    ],
)
def test_what_it_refuses(file, capsys, options, match):
    assert main(["report", str(file), *options]) == 2
    assert match in capsys.readouterr().err


def test_two_results_are_not_one_file(file, capsys):
    assert main(["report", str(file), str(file), "--neurobench", "nb.json"]) == 2
    assert "of one network" in capsys.readouterr().err
