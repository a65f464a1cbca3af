"""Two-stage training: a stage without what it learns from is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikeport.errors import UsageError
from spikeport.train.recipe import load_recipe
from spikeport.train.run import train_run

SMALL = (
    "training.epochs=1",
    "timesteps=2",
    "data.params.frames=2",
    "model.params.visual.stem=1",
    "model.params.visual.stages=[{channels: 1, blocks: 1, stride: 4}]",
    "model.params.audio={fc: [2]}",
)
ENCODERS = "model.params.stage=encoders"
FUSION = "model.params.stage=fusion"
HEADS = "training.losses=[{name: heads}]"


@pytest.mark.parametrize("kind", ["snn", "ann"])
@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ([ENCODERS], r"--set 'training.losses=\[\{name: heads\}\]'"),
        ([FUSION], "--from RUN"),
        ([FUSION, HEADS], "--from RUN"),
    ],
)
def test_a_stage_that_would_teach_nothing_is_refused(kind: str, changes: list[str], fix: str, tmp_path: Path) -> None:
    recipe = load_recipe("l2-av-digits", [*SMALL, *changes, f"kind={kind}"])
    with pytest.raises(UsageError, match=rf"'model.params.stage' = .*{fix}"):
        train_run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_with_what_the_fixes_name_both_stages_train(tmp_path: Path) -> None:
    first = train_run(load_recipe("l2-av-digits", [*SMALL, ENCODERS, HEADS]), tmp_path / "first", "cpu")
    second = load_recipe("l2-av-digits", [*SMALL, FUSION, f"start_from={first.path}"])
    assert train_run(second, tmp_path / "second", "cpu").path.exists()
