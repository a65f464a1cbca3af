"""Fine-tuning with quantised numbers: the run holds them, starts from another run, and resumes bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spikeport.errors import ArtefactError, UsageError
from spikeport.models.fake_quantised import FakeQuantised
from spikeport.models.network import SpikingNetwork
from spikeport.train.recipe import Recipe, load_recipe, parse_recipe, to_yaml
from spikeport.train.run import train_run

Make = Callable[..., Recipe]


def test_a_run_starts_from_another_and_holds_quantised_weights(toy_recipe: Make, tmp_path: Path) -> None:
    first = train_run(toy_recipe(training={"epochs": 1, "batch_size": 8}), tmp_path / "float")
    recipe = toy_recipe(
        quantisation={"weight_bits": 3},
        start_from=str(first.path),
        training={"epochs": 1, "batch_size": 8, "lr": 1e-9},
    )
    tuned = train_run(recipe, tmp_path / "tuned")
    assert isinstance(tuned.network, SpikingNetwork)
    held, begun = dict(tuned.network.named_parameters()), load_file(first.path / "weights.safetensors")
    torch.testing.assert_close(held["readout.linear.weight"], begun["readout.linear.weight"], rtol=0, atol=1e-6)
    for name in ("core.fuse_image.weight", "core.image.0.weight"):
        assert len(torch.unique(held[name])) <= 8
        assert not torch.equal(held[name], begun[name])
    # Quantised once more they stay as they are.
    for name, value in FakeQuantised(tuned.network, 3).parameters().items():
        torch.testing.assert_close(value, held[name], rtol=1e-5, atol=1e-6)


def test_it_resumes_bit_for_bit(toy_recipe: Make, toy_data: type, tmp_path: Path) -> None:
    recipe = toy_recipe(quantisation={"weight_bits": 4}, training={"epochs": 3, "batch_size": 8})
    whole = train_run(recipe, tmp_path / "whole")
    toy_data.fail_at_epoch = 2  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="killed"):
        train_run(recipe, tmp_path / "cut")
    toy_data.fail_at_epoch = None  # type: ignore[attr-defined]
    train_run(recipe, tmp_path / "cut", resume=True)
    ours, theirs = (load_file(path / "weights.safetensors") for path in (tmp_path / "cut", whole.path))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_start_that_does_not_fit_is_refused(toy_recipe: Make, tmp_path: Path) -> None:
    first = train_run(toy_recipe(training={"epochs": 1, "batch_size": 8}), tmp_path / "float")
    other = {"name": "av-digits", "params": {"channels": [2, 3], "audio": [4], "fused": 6}}
    with pytest.raises(ArtefactError, match="fuse"):
        train_run(toy_recipe(model=other, start_from=str(first.path)), tmp_path / "a")
    with pytest.raises(ArtefactError, match="it is missing"):
        train_run(toy_recipe(start_from=str(tmp_path / "none")), tmp_path / "b")
    assert not (tmp_path / "a").exists()


def test_the_recipe_that_ships() -> None:
    recipe = load_recipe("av-digits-qat", ["quantisation.weight_bits=2", "start_from=runs/av-digits"])
    assert recipe.quantisation is not None
    assert (recipe.quantisation.weight_bits, recipe.start_from) == (2, "runs/av-digits")
    plain = load_recipe("av-digits")
    assert recipe.model == plain.model
    assert recipe.encodings == plain.encodings
    assert (recipe.data, plain.quantisation) == (plain.data, None)


@pytest.mark.parametrize("bits", [0, 9, 2.5])
def test_bits_out_of_range_are_refused(bits: float) -> None:
    with pytest.raises(UsageError, match="weight_bits"):
        load_recipe("av-digits-qat", [f"quantisation.weight_bits={bits}"])


def test_an_ann_has_no_integers(toy_recipe: Make) -> None:
    with pytest.raises(UsageError, match="spiking"):
        toy_recipe(kind="ann", quantisation={"weight_bits": 4})


def test_a_stored_recipe_without_the_keys_still_reads(toy_recipe: Make) -> None:
    import yaml

    stored = yaml.safe_load(to_yaml(toy_recipe()))
    del stored["quantisation"], stored["start_from"]
    assert parse_recipe(stored) == toy_recipe()
