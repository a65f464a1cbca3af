"""Bad input: one line that names the thing, the reason and the fix; the right exit code; nothing left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spikeport.cli import main


def refused(capsys: pytest.CaptureFixture[str], code: int, *argv: str | Path) -> str:
    assert main([str(a) for a in argv]) == code
    said = capsys.readouterr()
    assert said.err.startswith("spikeport: error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err + said.out
    assert "internal fault" not in said.err
    return said.err


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["training.epoch=3"], "Did you mean 'epochs'"),
        (["training.epochs=many"], "training.epochs"),
        (["data.noise.image=-1"], "data.noise.image"),
        (["model.name=av-digit"], "av-digits"),
        (["nonsense"], "key.path=value"),
    ],
)
def test_a_bad_recipe(overrides: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [part for text in overrides for part in ("--set", text)]
    assert named in refused(capsys, 2, "train", "av-digits", *sets, "--out", tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_recipe_or_backend_gets_a_suggestion(
    bundle_path: Path, data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Did you mean 'av-digits'" in refused(capsys, 2, "train", "av-digit")
    assert "Did you mean 'norse'" in refused(capsys, 2, "deploy", bundle_path, "--backend", "nors")
    assert "Did you mean 'norse'" in refused(capsys, 2, "bench", bundle_path, "--data", data_path, "--backend", "nors")


def test_an_existing_output_is_not_touched(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "notes").write_text("keep")
    for argv in (
        ("train", "av-digits", "--out", place),
        ("deploy", bundle_path, "--backend", "reference", "--out", place),
    ):
        assert "exists" in refused(capsys, 2, *argv)
    assert [p.name for p in place.iterdir()] == ["notes"]


@pytest.mark.parametrize("file", ["00_core.nir", "01_readout.onnx", "golden.npz"])
def test_a_changed_bundle(file: str, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.bundle"
    shutil.copytree(bundle_path, copy)
    with (copy / file).open("ab") as handle:
        handle.write(b"x")
    err = refused(capsys, 1, "check", copy)
    assert file in err
    assert "SHA-256" in err


def test_a_foreign_or_missing_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corrupt = tmp_path / "corrupt.nir"
    corrupt.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(capsys, 1, "check", corrupt, "--dt", "0.001")
    text = tmp_path / "text.nir"
    text.write_text("hello")
    refused(capsys, 1, "check", text, "--dt", "0.001")
    refused(capsys, 1, "check", tmp_path / "none.nir", "--dt", "0.001")
    refused(capsys, 1, "check", tmp_path)
    refused(capsys, 1, "export", tmp_path / "no-run")
    refused(capsys, 1, "bench", tmp_path / "no-run")
    refused(capsys, 1, "report", tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    refused(capsys, 1, "report", tmp_path / "list.json")


def test_bad_data(bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--data" in refused(capsys, 2, "bench", bundle_path)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04nothing")
    assert "broken.npz" in refused(capsys, 1, "bench", bundle_path, "--data", broken)
    assert "--floor" in refused(capsys, 2, "bench", bundle_path, "--floor", "accuracy=high")


def test_usage_errors_exit_with_2(bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["fly"], ["deploy", str(bundle_path)], ["bench", str(bundle_path), "--samples", "0"]):
        with pytest.raises(SystemExit) as error:
            main(argv)
        assert error.value.code == 2
    capsys.readouterr()


def test_a_full_disk_leaves_nothing(
    bundle_path: Path,
    data_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device", str(self))

    place = tmp_path / "d"
    monkeypatch.setattr(Path, "write_text", full)
    assert "No space left" in refused(capsys, 1, "deploy", bundle_path, "--backend", "reference", "--out", place)
    argv = ("bench", bundle_path, "--data", data_path, "--json", tmp_path / "r.json")
    assert main([str(a) for a in argv]) == 1
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **kwargs: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(json, "dumps", stop)
    assert main(["deploy", str(bundle_path), "--backend", "reference", "--out", str(tmp_path / "d")]) == 130
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err


def test_a_fault_of_ours_is_one_line(
    bundle_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from spikeport.export import bundle

    def broken(path: Path) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(bundle, "read_manifest", broken)
    assert main(["check", str(bundle_path)]) == 1
    err = capsys.readouterr().err
    assert "internal fault, ZeroDivisionError: oops" in err
    assert "Traceback" not in err
