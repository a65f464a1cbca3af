"""The zoo: every bundle that ships is small, whole, proven, and told truly by its card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nmnist_files
import numpy as np
import pytest
import spoken_files

from spikeport.benchmarks import zoo_entry
from spikeport.benchmarks.bundling import bundle_recipe
from spikeport.benchmarks.results import read_results
from spikeport.cli import main
from spikeport.deploy import backends
from spikeport.deploy.deployment import deploy_network
from spikeport.errors import ArtefactError, UsageError
from spikeport.export.bundle import Bundle
from spikeport.models import zoo
from spikeport.train.recipe import load_recipe
from spikeport.train.run import train_run


def test_there_is_one() -> None:
    assert "av-digits" in zoo.zoo_names()


@pytest.mark.parametrize("name", zoo.zoo_names())
def test_a_bundle_is_small_and_its_card_tells_of_it(name: str) -> None:
    bundle, told = Bundle.open(zoo.zoo_path(name)), zoo.entry(name)
    recipe = bundle_recipe(bundle)
    assert recipe is not None
    assert told.size_bytes == sum(f.stat().st_size for f in bundle.path.iterdir()) <= zoo_entry.MAX_BYTES
    assert told.bundle_sha256 == bundle.sha256
    assert (told.name, told.model, told.dataset) == (name, recipe.model.name, recipe.data.name)
    assert 0.1 < told.accuracy <= 1
    card = (bundle.path / zoo.CARD).read_text()
    assert f"| {100 * told.accuracy:.1f} [" in card.replace("ok |", "|")
    zoo_entry._check_portable(recipe)


@pytest.mark.parametrize("name", zoo.zoo_names())
def test_a_bundle_proves_itself_on_the_reference(name: str, tmp_path: Path) -> None:
    bundle = Bundle.open(zoo.zoo_path(name))
    found = deploy_network(
        bundle.network, backends.get("reference"), tmp_path / "out", bundle.golden().inputs, samples=2
    )
    assert found.as_declared
    assert all(agreement.exact for agreement in found.agreements.values())
    assert found.run is not None
    golden = bundle.golden()
    for stage, nodes in golden.nodes.items():
        for node, expected in nodes.items():
            got = found.run.recordings[stage].nodes[node]
            # A membrane was recorded in snnTorch's float32.
            tolerance = {"rtol": 0.0, "atol": 0.0 if expected.dtype == np.uint8 else 1e-4}
            np.testing.assert_allclose(got.astype(float), expected[:, :2].astype(float), **tolerance)
    for answer in bundle.manifest.outputs:
        np.testing.assert_allclose(found.run.tensors[answer], golden.outputs[answer][:, :2], rtol=1e-4, atol=1e-5)


def test_the_verbs_take_it_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["list", "zoo"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert listed["zoo:av-digits"].startswith("av-digits, ")
    assert main(["list", "zoo", "--json"]) == 0
    assert {e["name"] for e in json.loads(capsys.readouterr().out)} == set(zoo.zoo_names())
    assert main(["check", "zoo:av-digits", "--backend", "reference"]) == 0
    assert "next: spikeport deploy zoo:av-digits --backend reference" in capsys.readouterr().out
    assert main(["deploy", "zoo:av-digits", "--backend", "reference", "--samples", "1"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["av-digits.reference"]
    assert main(["report", "zoo:av-digits", "--card"]) == 0
    assert "# Model card: av-digits" in capsys.readouterr().out
    assert main(["bench", "zoo:av-digits", "--samples", "2"]) == 0


@pytest.mark.parametrize(
    "argv",
    [["bench"], ["check"], ["deploy", "--backend", "reference"], ["report", "--card"]],
)
def test_an_unknown_name_is_told(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argv[0], "zoo:av-digit", *argv[1:]]) == 2
    assert "Did you mean 'av-digits'" in capsys.readouterr().err


def test_a_bundle_has_a_card_and_no_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "zoo:av-digits"]) == 2
    assert "Add --card" in capsys.readouterr().err
    bare = shutil.copytree(zoo.zoo_path("av-digits"), tmp_path / "bare.bundle")
    (bare / zoo.CARD).unlink()
    assert main(["report", str(bare), "--card"]) == 1
    assert "there is no card.md in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "card", ["", "# no front matter\n", "---\n- a\n---\n", "---\nname: x\n---\n", "---\na: [\n---\n"]
)
def test_a_card_that_sums_up_nothing_is_refused(card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    (tmp_path / "x.bundle").mkdir()
    (tmp_path / "x.bundle" / zoo.CARD).write_text(card)
    with pytest.raises(ArtefactError, match="does not sum up"):
        zoo.entry("x")


def test_a_folder_of_this_machine_is_not_shipped() -> None:
    recipe = bundle_recipe(Bundle.open(zoo.zoo_path("av-digits")))
    assert recipe is not None
    for path in ("/data/NMNIST", "~/NMNIST"):
        data = recipe.data.model_copy(update={"params": {"nmnist": path}})
        with pytest.raises(UsageError, match="a folder of this machine"):
            zoo_entry._check_portable(recipe.model_copy(update={"data": data}))


@pytest.mark.slow
def test_a_bundle_is_made_of_a_run_and_scored_where_its_data_lie_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nmnist_files.write_folder(tmp_path / "data" / "NMNIST", per_digit=6)
    spoken_files.write_spoken(tmp_path / "data" / "fsdd" / "recordings", takes=2)
    monkeypatch.chdir(tmp_path)
    small = "{form: chip, channels: 4, heads: 2, mlp_ratio: 1, "
    small += "visual: [{channels: 4, stride: 2}, {channels: 4, stride: 2}], "
    small += "audio: [{channels: 4}, {channels: 4, kernel: 4, padding: 0}]}"
    sets = ["training.epochs=1", "training.losses=[]", "training.batch_size=16", "timesteps=4", "data.params.steps=4"]
    run = train_run(load_recipe("s-cmrl", [f"model.params={small}", *sets]), tmp_path / "tiny")
    made = zoo_entry.make_entry(run, "tiny", tmp_path, samples=2)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    assert zoo.entry("tiny").bundle_sha256 == Bundle.open(made).sha256
    with pytest.raises(UsageError, match="exists already"):
        zoo_entry.make_entry(run, "tiny", tmp_path, samples=2)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert main(["bench", "zoo:tiny"]) == 1
    assert "Name the folder" in capsys.readouterr().err
    moved = [f"nmnist={tmp_path / 'moved' / 'NMNIST'}", f"recordings={tmp_path / 'moved' / 'fsdd' / 'recordings'}"]
    argv = ["bench", "zoo:tiny", "--data-param", moved[0], "--data-param", moved[1], "--json", "r.json"]
    assert main(argv) == 0
    (row,) = read_results(Path("r.json")).rows
    assert row.accuracy is not None
    assert (row.accuracy.value, row.accuracy.n) == (zoo.entry("tiny").accuracy, zoo.entry("tiny").samples)
