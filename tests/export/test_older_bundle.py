"""A bundle of schema 1, as it was written then: it opens and runs; what it does not say is unknown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from export_nets import leaky
from torch import Tensor, nn

from spikeport.cli import main
from spikeport.deploy import backends
from spikeport.deploy.deployment import cover_run
from spikeport.deploy.pipeline import lower_network, run_network, scores
from spikeport.errors import ArtefactError
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.manifest import read_manifest

STORED = Path(__file__).parent / "stored" / "schema_1"


@pytest.fixture
def then(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED, tmp_path / "then.bundle"))


def changed(bundle: Path, **keys: object) -> Path:
    path = bundle / "manifest.json"
    content = {**json.loads(path.read_text()), **keys}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return path


def ran(bundle: Bundle):
    return run_network(bundle.network, lower_network(bundle.network, backends.get("reference")), bundle.golden().inputs)


def test_what_it_says_is_kept_and_what_it_lacks_is_unknown() -> None:
    was = json.loads((STORED / "manifest.json").read_text())
    assert was["schema"] == 1
    assert "answer" not in was
    assert [stage["kind"] for stage in was["stages"]] == ["chip", "host", "chip", "host"]
    manifest = Bundle.open(STORED).manifest
    assert (manifest.schema_version, manifest.answer) == (2, "logits")
    assert manifest.verification.coverage is None
    again = json.loads(manifest.dump())
    for key, value in was.items():
        if key == "verification":
            assert again[key] == {**value, "coverage": None}
        elif key == "stages":
            later = {"chip": {"graded": None}, "host": {}}
            assert again[key] == [{**stage, **later[stage["kind"]]} for stage in value]
        elif key != "schema":
            assert again[key] == value


def test_its_stages_run_and_answer_as_they_did() -> None:
    bundle = Bundle.open(STORED)
    run, golden = ran(bundle), bundle.golden()
    for stage in bundle.network.chips:
        for node in stage.graph.spiking:
            np.testing.assert_array_equal(run.recordings[stage.name].nodes[node], golden.nodes[stage.name][node])
    np.testing.assert_allclose(scores(run, bundle.network), golden.outputs["logits"][0], atol=1e-6)
    assert set(cover_run(bundle.network, run).per_node) == {"encode.lif", "join.lif"}


def test_the_verbs_take_it(then: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(then), "--backend", "reference"]) == 0
    assert main(["deploy", str(then), "--backend", "reference", "--out", str(tmp_path / "d")]) == 0
    assert "encode: exact" in capsys.readouterr().out


def test_a_damaged_one_is_refused(then: Path) -> None:
    for keys in ({"outputs": []}, {"outputs": "logits"}, {"outputs": None}, {"stages": 3}, {"more": 1}):
        shutil.copy(STORED / "manifest.json", then)
        with pytest.raises(ArtefactError, match=r"manifest\.json"):
            read_manifest(changed(then, **keys))


class Two(nn.Module):
    """Two answers of unlike sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(4, 3), leaky(reset_mechanism="zero")
        self.also, self.other = nn.Linear(4, 5), leaky(reset_mechanism="zero")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.lif(3 * self.fc(x)), self.other(3 * self.also(x))


def test_scores_are_those_of_the_answer_that_the_manifest_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    bundle = export(Two(), torch.rand(8, 2, 4), 1e-3, tmp_path / "n.bundle")
    first, second = bundle.manifest.outputs
    assert bundle.manifest.answer == bundle.network.answer == first
    assert scores(ran(bundle), bundle.network).shape == (2, 3)
    changed(bundle.path, answer=second)
    other = Bundle.open(bundle.path)
    run = ran(other)
    np.testing.assert_array_equal(scores(run, other.network), run.tensors[second].sum(axis=0))
    changed(bundle.path, answer="logits")
    with pytest.raises(ArtefactError, match="'logits' is none of the outputs"):
        Bundle.open(bundle.path)
    changed(bundle.path, answer=None)
    with pytest.raises(ArtefactError, match="answer"):
        Bundle.open(bundle.path)
