"""`spikeport bench FILE.nir`: a network of another tool on a dataset by name, or on a file of samples."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
from nmnist_files import write_folder

from spikeport.cli import main


@pytest.fixture
def rows_net(tmp_path: Path) -> Path:
    """Generated recordings of digit d have events in row d alone: each row's events go to its neuron."""
    weight = np.zeros((10, 2, 34, 34), np.float32)
    for digit in range(10):
        weight[digit, :, digit] = 1
    nodes = {
        "input": nir.Input({"input": np.array([2, 34, 34])}),
        "flat": nir.Flatten({"input": np.array([2, 34, 34])}, 0, -1),
        "fc": nir.Affine(weight.reshape(10, -1), np.zeros(10, np.float32)),
        "cell": nir.IF(r=np.ones(10), v_threshold=np.full(10, 3.0), v_reset=np.zeros(10)),
        "output": nir.Output({"output": np.array([10])}),
    }
    path = tmp_path / "rows.nir"
    nir.write(path, nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    return path


def bench(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str]:
    code = main(["bench", *map(str, argv)])
    return code, capsys.readouterr().err


def test_a_bare_file_on_nmnist(rows_net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "n", per_digit=5)
    data = ("--data", "nmnist", "--data-param", f"folder={folder}", "--data-param", "steps=40")
    results = tmp_path / "r.json"
    argv = (rows_net, "--dt", "1e-3", *data, "--json", results, "--html", tmp_path / "r.html")
    assert bench(capsys, *argv) == (0, "")
    content = json.loads(results.read_text())
    (row,) = content["rows"]
    assert (row["id"], row["status"], row["timesteps"], row["dt_s"]) == ("rows/reference", "ok", 40, 1e-3)
    assert (row["accuracy"]["value"], row["accuracy"]["n"]) == (1.0, 10)
    assert row["dataset"]["name"] == "nmnist"
    assert len(row["bundle"]) == 64
    assert len(content["example"]["inputs"][0]["values"]) == 34
    assert content["title"] == "rows"

    bad = sorted(folder.glob("Train/*/*.bin"))
    for path in bad[::2]:
        path.write_bytes(b"abc")
    code, err = bench(capsys, *argv)
    assert code == 1
    assert ".bin: its 3 bytes" in err
    assert bench(capsys, *argv, "--skip-bad")[0] == 0
    assert "bad samples skipped" in json.loads(results.read_text())["rows"][0]["dataset"]["note"]


def test_a_bare_file_on_a_users_samples(rows_net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.zeros((10, 6, 2, 34, 34), np.uint8)
    for digit in range(10):
        x[digit, :, 0, digit, :4] = 1
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(10))
    floor = ("--floor", "accuracy=1.0", "--json", tmp_path / "r.json")
    assert bench(capsys, rows_net, "--dt", "1e-3", "--data", tmp_path / "mine.npz", *floor)[0] == 0
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["timesteps"] == 6


def test_what_does_not_fit_is_named(
    rows_net: Path, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "n", per_digit=5)
    np.savez(tmp_path / "raw.npz", x=np.zeros((2, 2, 34, 34)), y=np.zeros(2, int))
    by_name = ("--data", "nmnist", "--data-param", f"folder={folder}")
    cases = {
        "--dt": (rows_net, *by_name),
        "key '--data-param.folder': it is missing": (rows_net, "--dt", "1e-3", "--data", "nmnist"),
        "Did you mean 'nmnist'": (rows_net, "--dt", "1e-3", "--data", "nmnis"),
        "--data NAME, or --data FILE.npz": (rows_net, "--dt", "1e-3"),
        "there is no such key": (rows_net, "--dt", "1e-3", *by_name, "--data-param", "step=3"),
        "key=value": (rows_net, "--dt", "1e-3", *by_name, "--data-param", "steps"),
        "not YAML": (rows_net, "--dt", "1e-3", *by_name, "--data-param", "steps=[3"),
        "into how many steps": (rows_net, "--dt", "1e-3", *by_name, "--encoding", "input=rate"),
        "Did you mean 'input'": (rows_net, "--dt", "1e-3", *by_name, "--encoding", "inpt=rate"),
        "has no parameters": (rows_net, "--dt", "1e-3", "--data", tmp_path / "raw.npz", "--data-param", "a=b"),
        "all its inputs are raw": (
            rows_net,
            "--dt",
            "1e-3",
            "--data",
            tmp_path / "raw.npz",
            "--encoding",
            "input=rate",
        ),
        "no bare .nir file is named": (bundle_path, "--dt", "1e-3"),
        "10 classes, and the network answers with 3": (bundle_path, *by_name),
        "dataset 'av-digits' has ['audio', 'image']": (rows_net, "--dt", "1e-3", "--data", "av-digits"),
    }
    for said, argv in cases.items():
        code, err = bench(capsys, *argv)
        assert code in (1, 2), said
        assert said in err
        assert "internal fault" not in err
