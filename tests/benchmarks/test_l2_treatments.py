"""Every treatment of the L2 layer on a run's own data, and the bundles of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from l2act_nets import params

from spikeport.benchmarks.l2_treatments import compare, main, markdown
from spikeport.errors import UsageError
from spikeport.models.l2act.build import build
from spikeport.models.l2act.params import L2ActParams
from spikeport.train.recipe import load_recipe
from spikeport.train.run import Run

RECIPE = load_recipe("l2-av-digits", ["timesteps=4", "data.params.frames=4"])
SHAPES = {"image": (1, 28, 28), "audio": (65,)}


def run_of(**changes: object) -> Run:
    """Untrained; the thresholds are low, so that every layer fires."""
    torch.manual_seed(0)
    made = params(threshold=0.05, **changes)
    made = L2ActParams.model_validate(made.model_dump() | {"visual": made.visual.model_dump() | {"input": "image"}})
    return Run(Path("run"), RECIPE, build(made, SHAPES, 10).eval())


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts are 20 samples of the encoded shapes; labels are drawn."""
    import numpy as np

    from spikeport.train.datasets.base import Split

    class Few:
        def split(self, part: str, epoch: int = 0) -> Split:
            draw = np.random.default_rng(len(part))
            image, audio = draw.random((20, 1, 28, 28)), draw.standard_normal((20, 4, 13))
            return Split({"image": image.astype("f4"), "audio": audio.astype("f4")}, draw.integers(0, 10, 20))

    monkeypatch.setattr("spikeport.benchmarks.l2_treatments.open_dataset", lambda _: Few())


def test_a_fused_network_is_scored_on_the_host_and_with_a_constant() -> None:
    found, refused = compare(run_of())
    assert [one.treated.how for one in found] == ["host", "constant"]
    assert refused.keys() == {"drop"}
    assert found[0].same == found[0].samples == 20
    said = markdown(found, refused)
    assert "| host | " in said
    assert "drop: refused, it would change decisions" in said


def test_a_single_modality_answers_alike_without_its_norm() -> None:
    found, refused = compare(run_of(modality="audio"))
    assert [(one.treated.how, one.same) for one in found] == [("host", 20), ("drop", 20)]
    assert refused.keys() == {"constant"}


def test_a_network_without_the_layer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no L2 layer"):
        compare(run_of(l2={"scale": "none"}))
    assert main([str(tmp_path)]) == 1
    assert "it is no run" in capsys.readouterr().err
