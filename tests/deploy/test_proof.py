"""Before a bundle runs it is held against its proof, once; however it is asked to run."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
import torch
from damaged import change_golden, change_manifest, copied, negate_weights
from snntorch import Leaky
from torch import nn

import spikeport
from spikeport.cli import main
from spikeport.deploy import isolated, proof
from spikeport.deploy.proof import prove
from spikeport.errors import ArtefactError
from spikeport.export.bundle import Bundle
from spikeport.export.network import Description, export_network
from spikeport.models import zoo


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return copied(zoo.zoo_path("av-digits"), tmp_path)


@pytest.fixture
def negated(tmp_path: Path) -> Path:
    bundle = copied(zoo.zoo_path("av-digits"), tmp_path)
    negate_weights(bundle)
    return bundle


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(proof, "cache_root", isolated.cache_root)
    monkeypatch.setenv("SPIKEPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "proofs"


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that were replayed."""
    told: list[str] = []
    right = proof.replay
    monkeypatch.setattr(proof, "replay", lambda bundle, progress: right(bundle, told.append))
    return told


def test_once_for_every_content(bundle: Path, cache: Path, replays: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    prove(Bundle.open(bundle))
    (kept,) = cache.iterdir()
    assert len(replays) == 2
    prove(Bundle.open(bundle))
    prove(Bundle.open(Path(shutil.copytree(bundle, bundle.parent / "moved.bundle"))))
    assert len(replays) == 2
    monkeypatch.setattr(spikeport, "__version__", "99")
    prove(Bundle.open(bundle))
    assert len(replays) == 4
    monkeypatch.setattr(proof, "RULES", 99)
    prove(Bundle.open(bundle))
    assert len(replays) == 6
    assert str(bundle) not in kept.read_text()


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"differs": 0}', '{"differs": nul', "[" * 100_000, "\udcff"])
def test_what_is_remembered_badly_is_not_known(text: str, bundle: Path, cache: Path, replays: list[str]) -> None:
    prove(Bundle.open(bundle))
    (kept,) = cache.iterdir()
    kept.write_text(text, errors="surrogateescape")
    prove(Bundle.open(bundle))
    assert len(replays) == 4
    assert json.loads(kept.read_text()) == {"differs": ""}


def test_a_cache_that_cannot_be_written_is_no_error(
    bundle: Path, tmp_path: Path, replays: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPIKEPORT_CACHE", str(tmp_path / "file"))
    prove(Bundle.open(bundle))
    prove(Bundle.open(bundle))
    assert len(replays) == 4

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("SPIKEPORT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    prove(Bundle.open(bundle))
    assert len(replays) == 6


def test_a_refusal_is_not_remembered_as_a_proof(negated: Path, cache: Path) -> None:
    for _ in range(2):
        with pytest.raises(ArtefactError, match=r"node 'audio_1': it differs .* at step 0, sample 0, neuron"):
            prove(Bundle.open(negated))
    assert not cache.exists() or not list(cache.iterdir())


def test_however_it_is_run(
    negated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ArtefactError, match="not its own proof"):
        spikeport.deploy(negated, "reference")
    with pytest.raises(ArtefactError, match="not its own proof"):
        spikeport.deploy(Bundle.open(negated), "reference")
    with pytest.raises(ArtefactError, match="not its own proof"):
        spikeport.benchmark(negated, samples=2)
    for argv in (["deploy", str(negated), "--backend", "reference"], ["bench", str(negated), "--samples", "2"]):
        assert main(argv) == 1
        said = capsys.readouterr()
        assert said.err.startswith(f"spikeport: error: {negated}: stage 'core', node 'audio_1'")
        assert said.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
    assert main(["deploy", "zoo:av-digits", "--backend", "reference", "--samples", "1"]) == 0


def test_check_and_list_replay_nothing(negated: Path, replays: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(negated), "--backend", "reference"]) == 0
    assert main(["list", "models"]) == 0
    assert replays == []
    capsys.readouterr()


def test_a_bundle_without_verification_says_so_each_time_and_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, replays: list[str]
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), Leaky(beta=0.8, init_hidden=True, reset_mechanism="zero"))
    about, path = Description("n", {}, {}), tmp_path / "n.bundle"
    export_network(net, 3 * torch.rand(9, 3, 5), 1e-3, path, about, check=False)
    wrong = copied(path, tmp_path)
    negate_weights(wrong)
    for place, said in ((path, "the reference does what the model did"), (wrong, "not what the model did .*node '")):
        for _ in range(2):
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                prove(Bundle.open(place))
            (told,) = caplog.messages
            assert str(place) in told
            assert "exported with --no-verify, so nothing proves that it is the model" in told
            assert re.search(said, told)
    assert len(replays) == 2
    change_golden(path, lambda arrays: arrays.pop("input/0", None) or arrays.pop("input/input"))
    with pytest.raises(ArtefactError, match="it is missing"):
        prove(Bundle.open(path))


OUTSIDE = {
    "absolute": "/outside", "upwards": "../outside", "a folder": "a/b", "windows": "a\\b", "a drive": "c:b",
    "here": ".", "above": "..", "none": "", "NUL": "a\0b", "a line": "a\nb", "hidden": ".a", "a device": "NUL",
    "a device's file": "con.txt", "long": "a" * 201, "a dot behind": "a.", "a space behind": "a ", "a star": "a*",
    "turned": "a\u202eb", "half a sign": "a\ud800",
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_a_stages_name_is_a_plain_folder(
    name: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    for i in (0, 1):
        again = copied(bundle, tmp_path / str(i))
        change_manifest(again, lambda m, i=i: m["stages"][i].update(name=name))
        for verb in ("check", "deploy"):
            argv = [verb, str(again), "--backend", "reference"]
            assert main([*argv, "--out", str(tmp_path / "out")] if verb == "deploy" else argv) == 1
            said = capsys.readouterr().err
            assert "manifest.json" in said
            assert said.count("\n") == 1
        shutil.rmtree(tmp_path / str(i))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["core", "Core", "CORE"])
def test_two_stages_never_share_a_folder(name: str, bundle: Path) -> None:
    change_manifest(bundle, lambda m: m["stages"][1].update(name=name))
    with pytest.raises(ArtefactError, match=f"two stages are called '{name}'"):
        Bundle.open(bundle)


@pytest.mark.parametrize("file", ["00_core.nir", "00_CORE.nir", "Golden.npz", "manifest.json"])
def test_two_stages_never_share_a_file(file: str, bundle: Path) -> None:
    change_manifest(bundle, lambda m: m["stages"][1].update(file=file))
    with pytest.raises(ArtefactError, match=f"two things lie in the file '{file}'"):
        Bundle.open(bundle)


def test_names_that_are_no_files_are_free(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle's own name in the manifest is told to the user, and leads nowhere."""
    monkeypatch.chdir(tmp_path)
    change_manifest(bundle, lambda m: m.update(name="../../outside"))
    spikeport.deploy(bundle, "reference", samples=1)
    assert (tmp_path / "av-digits.bundle.copy.reference" / "core" / "recording.npz").is_file()


MISWIRED = {
    "reads nothing": (lambda m: m["stages"][1].update(inputs={}), "it reads nothing"),
    "reads what is not there": (lambda m: m["stages"][1].update(inputs={"input": "ghost"}), "reads 'ghost'"),
    "reads itself": (lambda m: m["stages"][1].update(inputs={"input": "logits"}), "reads 'logits'"),
    "writes an input": (lambda m: m["stages"][1].update(outputs={"output": "image"}), "'image'"),
    "no answer": (lambda m: m.update(outputs=["ghost"]), "the answer 'logits' is none of the outputs"),
    "an answer that nothing gives": (
        lambda m: m.update(outputs=["ghost"], answer="ghost"),
        "'ghost': no stage writes it",
    ),
    "another node": (lambda m: m["stages"][0].update(outputs={"ghost": "spikes"}), "node 'ghost'"),
    "another input": (lambda m: m["stages"][0].update(inputs={"image": "image"}), "node 'audio'"),
    "a register of nothing": (
        lambda m: m.update(registers=[{"tensor": "r", "source": "ghost", "shape": [1]}]),
        "'ghost': no stage writes it",
    ),
}


@pytest.mark.parametrize(("change", "said"), MISWIRED.values(), ids=MISWIRED.keys())
def test_stages_that_do_not_fit_together(change: object, said: str, bundle: Path) -> None:
    change_manifest(bundle, change)  # type: ignore[arg-type]
    with pytest.raises(ArtefactError, match=said):
        Bundle.open(bundle)


@pytest.mark.parametrize("name", zoo.zoo_names())
def test_the_zoo_is_its_proof(name: str, replays: list[str]) -> None:
    prove(Bundle.open(zoo.zoo_path(name)))
    assert replays
