"""`spikeport export --onnx`: the step graph beside the bundle, the ANN alone, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.torch import save_file

from spikeport.cli import main
from spikeport.cli.onnx_file import write_step
from spikeport.errors import UsageError
from spikeport.export.bundle import Bundle
from spikeport.export.interpreter import run as interpret
from spikeport.export.onnx import run_step_onnx
from spikeport.export.stages import ChipStage
from spikeport.train.recipe import load_recipe, to_yaml
from spikeport.train.samples import build_network


def out_of(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    code = main([str(a) for a in argv])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`snn` and `ann`: a tiny network and its twin with initial weights, as a training would leave them."""
    folder = tmp_path_factory.mktemp("runs")
    for kind in ("snn", "ann"):
        small = ("timesteps=4", "data.params.frames=4", "model.params={channels: [2, 3]}", f"kind={kind}")
        recipe = load_recipe("av-digits", small)
        (folder / kind).mkdir()
        (folder / kind / "recipe.yaml").write_text(to_yaml(recipe))
        (folder / kind / "environment.json").write_text("{}")
        weights = build_network(recipe).state_dict()
        save_file({n: x.contiguous() for n, x in weights.items()}, folder / kind / "weights.safetensors")
    return folder


@pytest.fixture
def fresh(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return runs


def test_the_step_graph_is_the_bundles_core(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = out_of(
        capsys, "export", fresh / "snn", "--out", "net.bundle", "--samples", "8", "--onnx", "net.onnx"
    )
    assert code == 0
    assert "under onnxruntime equal the reference" in out
    assert out.endswith("next: spikeport check net.bundle\n")
    bundle = Bundle.open(Path("net.bundle"))
    (core,) = (stage for stage in bundle.network.stages if isinstance(stage, ChipStage))
    inputs = {n: bundle.golden().inputs[t] for n, t in core.inputs.items()}
    recording = run_step_onnx(core.graph, Path("net.onnx"), inputs)
    for name, spikes in interpret(core.graph, inputs).nodes.items():
        np.testing.assert_array_equal(recording.nodes[name], spikes)


def test_an_anns_run_becomes_one_file_and_no_bundle(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = out_of(capsys, "export", fresh / "ann", "--samples", "5", "--onnx", "ann.onnx")
    assert code == 0
    assert "of torch under onnxruntime" in out
    assert [p.name for p in Path().iterdir()] == ["ann.onnx"]
    session = onnxruntime.InferenceSession("ann.onnx", providers=["CPUExecutionProvider"])
    assert {i.name for i in session.get_inputs()} == {"image", "audio"}


@pytest.mark.parametrize("option", [("--out", "x.bundle"), ("--no-verify",)])
def test_an_ann_has_no_bundle_to_name_or_to_leave_unverified(
    option: tuple[str, ...], fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = out_of(capsys, "export", fresh / "ann", "--onnx", "ann.onnx", *option)
    assert code == 2
    assert option[0] in err
    assert list(Path().iterdir()) == []


def test_an_existing_file_is_kept_and_no_bundle_is_begun(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.onnx").write_text("mine")
    code, _, err = out_of(capsys, "export", fresh / "snn", "--onnx", "net.onnx")
    assert code == 2
    assert "exists already" in err
    assert [(p.name, p.read_text()) for p in Path().iterdir()] == [("net.onnx", "mine")]


def test_unverified_is_written_without_a_claim(bundle_path: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    assert write_step(bundle, tmp_path / "net.onnx", check=False) is None
    assert write_step(bundle, tmp_path / "checked.onnx", check=True).exact
    assert (tmp_path / "net.onnx").read_bytes() == (tmp_path / "checked.onnx").read_bytes()


def test_a_network_of_several_chip_stages_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    several = replace(bundle.network, stages=(*bundle.network.stages, bundle.network.stages[0]))
    with pytest.raises(UsageError, match="cut into 3 stages"):
        write_step(replace(bundle, network=several), tmp_path / "net.onnx", check=True)


def test_an_ann_without_onnx_is_still_refused(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = out_of(capsys, "export", fresh / "ann")
    assert code == 2
    assert "ANN" in err
