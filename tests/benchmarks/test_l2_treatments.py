"""What is deployed of a run with an L2 layer, what its bundle says of it, and every treatment compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from l2act_nets import params

from spikeport.benchmarks.bundling import export_run
from spikeport.benchmarks.l2_deployment import deployed, held_by, recorded
from spikeport.benchmarks.l2_treatments import compare, main, markdown
from spikeport.benchmarks.results import Row
from spikeport.benchmarks.runner import Request, run_benchmark
from spikeport.benchmarks.samples import DataRequest
from spikeport.errors import ArtefactError, UsageError
from spikeport.export.bundle import Bundle
from spikeport.models.l2act.build import build
from spikeport.models.l2act.params import L2ActParams
from spikeport.models.l2act.treat import How
from spikeport.train.datasets.base import Split
from spikeport.train.recipe import load_recipe
from spikeport.train.run import Run

RECIPE = load_recipe("l2-av-digits", ["timesteps=4", "data.params.frames=4"])
SHAPES = {"image": (1, 28, 28), "audio": (65,)}
PARTS = ("bundling", "l2_deployment", "l2_treatments", "samples")


def run_of(folder: Path, **changes: object) -> Run:
    """Untrained; the thresholds are low, so that every layer fires."""
    torch.manual_seed(0)
    made = params(threshold=0.05, **changes)
    made = L2ActParams.model_validate(made.model_dump() | {"visual": made.visual.model_dump() | {"input": "image"}})
    folder.mkdir()
    (folder / "environment.json").write_text("{}")
    return Run(folder, RECIPE, build(made, SHAPES, 10).eval())


class Few:
    """All parts are 20 samples of the encoded shapes; labels are drawn."""

    def split(self, part: str, epoch: int = 0) -> Split:
        draw = np.random.default_rng(len(part))
        image, audio = draw.random((20, 1, 28, 28)), draw.standard_normal((20, 4, 13))
        return Split({"image": image.astype("f4"), "audio": audio.astype("f4")}, draw.integers(0, 10, 20))


@pytest.fixture(autouse=True, scope="module")
def few_samples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for part in PARTS:
            patch.setattr(f"spikeport.benchmarks.{part}.open_dataset", lambda _: Few())
        yield


@pytest.fixture(scope="module")
def dropped(few_samples: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Bundle]:
    folder = tmp_path_factory.mktemp("dropped")
    run = run_of(folder / "run", modality="audio")
    return run, export_run(run, folder / "n.bundle", samples=4)


@pytest.mark.slow
def test_a_fused_network_is_scored_on_the_host_and_with_a_constant(tmp_path: Path) -> None:
    found = compare(run_of(tmp_path / "run"), tmp_path)
    host, constant = found.found
    assert host.stages == {"encoders": True, "l2": False, "fusion": True, "readout": False}
    assert constant.stages == {"core": True, "readout": False}
    assert host.same == host.samples == 20
    assert 0 < constant.on_chip < 1
    assert found.refused.keys() == {"drop"}
    said = markdown(found)
    assert "| host | " in said
    assert "**encoders**, l2, **fusion**, readout |" in said
    assert "drop: refused, it would change decisions" in said
    assert f"auto takes {found.auto.treatment}: " in said
    assert {path.name for path in tmp_path.glob("*.bundle")} == {"host.bundle", "constant.bundle"}


@pytest.mark.slow
def test_a_single_modality_answers_alike_without_its_norm(tmp_path: Path) -> None:
    found = compare(run_of(tmp_path / "run", modality="audio"), tmp_path)
    assert [(one.record.treatment, one.same) for one in found.found] == [("host", 20), ("drop", 20)]
    assert found.refused.keys() == {"constant"}
    assert found.auto.treatment == "drop"


def test_a_network_without_the_layer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no L2 layer"):
        compare(run_of(tmp_path / "run", l2={"scale": "none"}), tmp_path)
    assert main([str(tmp_path)]) == 1
    assert "it is no run" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["auto", "host"])
def test_a_treatment_of_a_layer_that_is_not_there_is_refused(how: How, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", l2={"scale": "none"})
    with pytest.raises(UsageError, match=f"'{how}': the network 'l2-actspikenet' of .* has no L2 layer"):
        deployed(run, how)
    assert deployed(run).l2 is None
    assert deployed(run).network is run.network


def test_a_bundle_says_that_the_layer_was_dropped_and_why(dropped: tuple[Run, Bundle]) -> None:
    run, bundle = dropped
    record = recorded(bundle)
    assert record is not None
    assert (record.treatment, record.exact, record.same, record.samples) == ("drop", True, 20, 20)
    assert record.told() == f"drop: {record.reason}; 20 of 20 validation answers are as trained"
    held = held_by(bundle, run)
    assert [segment.name for segment in held.segments] == ["encoders", "readout"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["host", "constant"])
def test_a_bundle_holds_the_network_that_its_record_says(how: How, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    bundle = export_run(run, tmp_path / "n.bundle", samples=4, l2=how)
    record = recorded(bundle)
    assert record is not None
    assert (record.treatment, record.exact) == (how, how == "host")
    expected = deployed(run, how).network.state_dict()
    held = held_by(bundle, run).state_dict()
    assert held.keys() == expected.keys()
    assert all(torch.equal(held[name], expected[name]) for name in expected)


def test_a_damaged_record_is_named(dropped: tuple[Run, Bundle], tmp_path: Path) -> None:
    _, bundle = dropped
    good = bundle.manifest.provenance["l2"]
    for bad in ("drop", good | {"treatment": "melt"}, good | {"same": -1}, good | {"norms": {"smell": {}}}):
        manifest = bundle.manifest.model_copy(update={"provenance": {"l2": bad}})
        with pytest.raises(ArtefactError, match=r"provenance\.l2"):
            recorded(replace(bundle, manifest=manifest))


def benched(run: Run, bundle: Bundle | None, patch: pytest.MonkeyPatch) -> tuple[Row, ...]:
    patch.setattr("spikeport.benchmarks.subject.load_run", lambda _: run)
    request = Request([run.path], data=DataRequest(limit=10), bundle=bundle.path if bundle else None)
    return run_benchmark(request, lambda _: None).results.rows


def test_bench_shows_the_trained_network_beside_what_is_deployed(
    dropped: tuple[Run, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    snn, trained = benched(*dropped, monkeypatch)
    assert (snn.name, trained.name) == ("snn", "trained")
    assert snn.condition["l2"] == trained.condition["l2"] == "drop"
    assert snn.agreement is not None
    assert snn.agreement.exact
    assert "10 of 10 answers are the same" in trained.missing["agreement"]
    assert trained.answers == snn.answers


@pytest.mark.slow
def test_on_the_host_what_is_deployed_is_the_trained_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snn,) = benched(run_of(tmp_path / "run"), None, monkeypatch)
    assert snn.condition["l2"] == "host"
