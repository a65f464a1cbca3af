"""The verbs on good input: what they print, write and return."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nir
import numpy as np
import pytest

from spikeport.cli import main


def out_of(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_check_lists_every_node_and_runs_nothing(bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = out_of(capsys, "check", bundle_path, "--backend", "reference", "--json")
    assert code == 0
    verdicts = json.loads(out)["backends"]["reference"]["core"]
    assert {v["node"]: v["fate"] for v in verdicts}["lif"] == "native"
    assert json.loads(out)["host"] == ["readout"]
    assert out_of(capsys, "check", bundle_path)[1].endswith("--backend lava-fixed\n")


def test_deploy_runs_the_golden_samples_and_audits_them(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "d"
    code, out, _ = out_of(capsys, "deploy", bundle_path, "--backend", "reference", "--out", place)
    assert code == 0
    assert "core: exact" in out
    assert sorted(p.name for p in (place / "core").iterdir()) == ["explain.json", "graph.nir", "recording.npz"]
    with np.load(place / "core" / "recording.npz") as recording:
        assert recording["node/lif"].shape == (12, 5, 8)


def test_a_bare_nir_file_needs_its_dt(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = bundle_path / "00_core.nir"
    code, _, err = out_of(capsys, "check", file)
    assert code == 2
    assert "--dt" in err
    code, out, _ = out_of(capsys, "deploy", file, "--dt", "0.001", "--backend", "reference", "--out", tmp_path / "n")
    assert code == 0
    assert "not run" in out


def test_bench_scores_a_bundle_on_a_users_file(
    bundle_path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, page = tmp_path / "r.json", tmp_path / "r.html"
    code, out, _ = out_of(
        capsys, "bench", bundle_path, "--data", data_path, "--json", results, "--html", page, "--samples", "15"
    )
    assert code == 0
    (row,) = json.loads(results.read_text())["rows"]
    assert (row["name"], row["status"], row["accuracy"]["n"]) == ("reference", "ok", 15)
    assert row["agreement"]["exact"]
    assert row["counts"]["per_sample"]["synops_ac"] > 0
    assert row["measured"] is None
    assert "reference" in out
    assert page.read_text(encoding="utf-8").startswith("<!")
    code, redrawn, _ = out_of(capsys, "report", results, "--markdown")
    assert code == 0
    assert "reference" in redrawn


def test_a_missed_floor_fails_the_run(bundle_path: Path, data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = ("bench", bundle_path, "--data", data_path, "--floor")
    assert out_of(capsys, *bench, "accuracy=0.0")[0] == 0
    code, _, err = out_of(capsys, *bench, "accuracy=1.0")
    assert code == 1
    assert "floor" in err


def test_train_export_and_bench_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--set", "training.epochs=1", "--set", "timesteps=4", "--set", "data.params.frames=4"]
    small += ["--set", "model.params={channels: [2, 3]}"]
    run, twin, bundle = tmp_path / "run", tmp_path / "twin", tmp_path / "run.bundle"
    assert out_of(capsys, "train", "av-digits", *small, "--out", run)[0] == 0
    assert out_of(capsys, "train", "av-digits", *small, "--set", "kind=ann", "--out", twin)[0] == 0
    code, out, _ = out_of(capsys, "export", run, "--out", bundle, "--samples", "8")
    assert code == 0
    assert "equal snnTorch's" in out
    code, _, err = out_of(capsys, "export", run, "--l2", "auto", "--out", tmp_path / "no.bundle")
    assert code == 2
    assert "'av-digits'" in err
    assert "has no L2 layer" in err
    code, _, err = out_of(capsys, "export", twin, "--onnx", tmp_path / "t.onnx", "--l2", "host")
    assert code == 2
    assert "--l2: an ANN's run has no bundle" in err
    results = tmp_path / "r.json"
    code, out, _ = out_of(
        capsys, "bench", run, "--ann", twin, "--backend", "reference", "--samples", "20", "--json", results
    )
    assert code == 0
    content = json.loads(results.read_text())
    assert [row["name"] for row in content["rows"]] == ["ann", "snn", "reference"]
    assert len(content["comparisons"]) >= 3
    snn, reference = content["rows"][1:]
    assert snn["counts"] == reference["counts"]
    assert "not recorded together" in content["rows"][0]["dataset"]["note"]
    code, out, _ = out_of(capsys, "bench", bundle, "--backend", "reference", "--samples", "20")
    assert code == 0
    assert "reference" in out


@pytest.mark.parametrize("what", ["models", "recipes", "datasets", "backends"])
def test_list_names_things(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = json.loads(out_of(capsys, "list", what, "--json")[1])
    assert names
    assert names == sorted(names)


def test_list_energy_models_says_what_each_gives(capsys: pytest.CaptureFixture[str]) -> None:
    models = {m["name"]: m for m in json.loads(out_of(capsys, "list", "energy-models", "--json")[1])}
    assert list(models) == sorted(models)
    assert models["horowitz45-compute"]["unit"] == "pJ per operation"
    assert models["horowitz45-compute"]["prices"] == "both"
    assert models["davidson-furber2021"]["unit"] == "spikes per synapse and inference"
    assert models["loihi2"]["unit"] is None
    assert models["loihi2"]["none_published"] == "no energy per operation is published for Loihi 2"
    code, out, _ = out_of(capsys, "list", "energy-models")
    assert code == 0
    told = out.split("akida")[1].split("dampfhoffer2023")[0]
    assert "none published: no energy per operation with a source was found for Akida" in told
    assert "pJ per operation, for spiking networks only" in out.split("truenorth")[1]
    for model in models.values():
        assert f"{model['title']}; {model['technology']}" in out
        assert model["none_published"] or f"confidence: {model['confidence']}" in out


OWN_MODEL = """name: mine
title: my chip
assumes: only mine matters
technology: mine
citation: me
confidence: sure
leaves_out: [all else]
nominal: one
variants: [{name: one, ac_pj: 1, mac_pj: 2}]
"""


def test_a_model_of_ones_own_prices_the_ann_and_a_missing_one_is_said(
    bundle_path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(OWN_MODEL)
    given = ("bench", bundle_path, "--data", data_path, "--energy-model")
    assert out_of(capsys, *given, tmp_path / "mine.yaml", "--cross-technology", "mine")[0] == 0
    code, _, err = out_of(capsys, *given, tmp_path / "mine.yaml", "--cross-technology", "mne")
    assert code == 2
    assert "--cross-technology mne: there is no such energy model. Did you mean 'mine'?" in err
    code, _, err = out_of(capsys, *given, tmp_path / "none.yaml")
    assert code == 2
    assert "none.yaml: there is no such file. Name the YAML file of your own model" in err
    assert "recipe" not in err


def test_list_layers_says_what_each_becomes(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from spikeport.export import support

    monkeypatch.setattr(support, "CASES", [case for case in support.CASES if case.subject in ("Leaky", "Flatten")])
    code, out, _ = out_of(capsys, "list", "layers")
    assert code == 0
    assert "reset by subtraction as LI -> Threshold -> Scale(-theta) -> LI" in out
    rows = json.loads(out_of(capsys, "list", "layers", "--json")[1])
    assert {row["verdict"] for row in rows} == {"exact", "exact after a rewrite", "refused"}
    assert {row["subject"] for row in rows} == {"Leaky", "Flatten"}


def test_env_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = out_of(capsys, "env")
    assert code == 0
    assert "torch" in out
    assert nir.version in out


def test_two_networks_of_one_name_are_told_apart_and_one_twice_is_refused(
    bundle_path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / bundle_path.name
    shutil.copytree(bundle_path, other)
    out = tmp_path / "r.json"
    assert out_of(capsys, "bench", bundle_path, other, "--data", data_path, "--json", out)[0] == 0
    assert [row["id"] for row in json.loads(out.read_text())["rows"]] == [
        f"{bundle_path.parent.name}-tiny/reference",
        "other-tiny/reference",
    ]
    code, _, err = out_of(capsys, "bench", other, other, "--data", data_path)
    assert code == 2
    assert "named 2 times" in err
