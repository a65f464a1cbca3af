"""`--skip-bad` where networks are trained; what is left out is told; and which data a dataset reads."""

from __future__ import annotations

import shlex
from pathlib import Path

import nmnist_files
import pytest
import spoken_files

from spikeport.benchmarks.zoo_entry import _command
from spikeport.cli import main
from spikeport.train.datasets import DATASETS
from spikeport.train.recipe import load_recipe

MODEL = (
    "model.params={form: chip, channels: 4, heads: 2, mlp_ratio: 1, "
    "visual: [{channels: 4, stride: 2}, {channels: 4, stride: 2}], "
    "audio: [{channels: 4}, {channels: 4, kernel: 4, padding: 0}]}"
)
SETS = [MODEL, "training.epochs=1", "training.losses=[]", "training.batch_size=8", "timesteps=4", "data.params.steps=4"]


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Return --set of small data, of which every fourth event recording is empty."""
    nmnist_files.write_folder(tmp_path / "NMNIST", per_digit=6)
    spoken_files.write_spoken(tmp_path / "spoken", takes=2)
    for path in sorted((tmp_path / "NMNIST").rglob("*.bin"))[::4]:
        path.write_bytes(b"")
    sets = [*SETS, f"data.params.nmnist={tmp_path / 'NMNIST'}", f"data.params.recordings={tmp_path / 'spoken'}"]
    return [part for text in sets for part in ("--set", text)]


def test_training_skips_bad_samples_and_names_them(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", "s-cmrl-chip", *data, "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main(argv) == 1
    assert "it holds no event (15 of 60 are bad), also" in capsys.readouterr().err
    assert main([*argv, "--skip-bad"]) == 0
    said = capsys.readouterr().err
    counts = {line.split(":")[0]: int(line.split()[1]) for line in said.splitlines() if " skipped, " in line}
    assert set(counts) <= {"train", "val"}
    assert counts["train"] > 1
    assert said.count(".bin: it holds no event") == sum(min(count, 10) for count in counts.values())
    assert load_recipe(tmp_path / "run" / "recipe.yaml").data.params["skip_bad"] is True


def test_a_study_skips_bad_samples(data: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("{name: s, recipe: s-cmrl-chip, variants: {a: []}, seeds: [0], reference: a}")
    assert main(["study", str(file), *data, "--skip-bad", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    said = capfd.readouterr()
    assert "a-0: train: " in said.err
    assert "unreadable samples were left out" in said.out


@pytest.mark.parametrize("argv", [["train", "av-digits"], ["study", "av-digits", "--out", "out"]])
def test_a_dataset_without_bad_files_refuses_it(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*argv, "--skip-bad"]) == 2
    assert "--skip-bad: the recipe's dataset reads no files that may be bad. Drop it" in capsys.readouterr().err
    assert main([*argv, "--set", "data.params.skip_bad=true"]) == 2
    assert "key 'data.params.skip_bad': there is no such key" in capsys.readouterr().err


def test_list_datasets_says_what_each_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "datasets"]) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(told) >= {"av-digits", "crema-d", "nmnist-digits"}
    assert all("; reads " in text for text in told.values())
    for name, text in told.items():
        paths = {key for key, field in DATASETS.get(name).params.model_fields.items() if field.annotation is Path}
        assert all(key in text for key in paths), name


def test_missing_folders_are_named_as_the_command_line_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "zoo:s-cmrl-chip", "--samples", "1"]) == 1
    said = capsys.readouterr().err
    assert "--data-param nmnist=" in said
    assert "--data-param recordings=" in said


def test_a_card_names_the_datas_folders() -> None:
    wanted = ["--data-param", "nmnist=data/NMNIST", "--data-param", "recordings=data/fsdd/recordings"]
    command = shlex.split(_command("s-cmrl-chip", load_recipe("s-cmrl-chip")))
    assert command == ["spikeport", "bench", "zoo:s-cmrl-chip", *wanted]
    assert _command("av-digits", load_recipe("av-digits")) == "spikeport bench zoo:av-digits"
