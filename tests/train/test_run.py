from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spikeport.errors import ArtefactError, SpikeportError, UnavailableError, UsageError
from spikeport.models.network import SpikingNetwork
from spikeport.models.twin import Twin
from spikeport.train.evaluate import accuracy, evaluate
from spikeport.train.loop import checkpoint_path, rate_at
from spikeport.train.recipe import Recipe, load_recipe
from spikeport.train.run import load_run, train_run
from spikeport.train.samples import open_dataset

Make = Callable[..., Recipe]


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "weights.safetensors")


def _same(one: Path, other: Path) -> bool:
    left, right = _weights(one), _weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def _epochs(path: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["snn", "ann"])
@pytest.mark.parametrize("killed_in", [1, 3])
def test_a_killed_and_resumed_training_ends_bit_identical(
    kind: str, killed_in: int, toy_recipe: Make, toy_data: type, tmp_path: Path
) -> None:
    recipe = toy_recipe(kind=kind)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_run(recipe, whole, device="cpu")
    toy_data.fail_at_epoch = killed_in
    with pytest.raises(RuntimeError, match="killed"):
        train_run(recipe, broken, device="cpu")
    assert _epochs(broken) == list(range(killed_in))
    assert not (broken / "weights.safetensors").exists()
    toy_data.fail_at_epoch = None
    torch.rand(17)  # whatever the process drew in between must not matter
    train_run(recipe, broken, device="cpu", resume=True)
    assert _same(whole, broken)
    assert _epochs(broken) == _epochs(whole) == [0, 1, 2, 3]


def test_ctrl_c_is_a_keyboard_interrupt_and_can_be_resumed(toy_recipe: Make, toy_data: type, tmp_path: Path) -> None:
    toy_data.fail_at_epoch, toy_data.fail_with = 2, KeyboardInterrupt
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train_run(toy_recipe(), tmp_path / "run", device="cpu")
    assert signal.getsignal(signal.SIGINT) is before
    toy_data.fail_at_epoch = None
    train_run(toy_recipe(), tmp_path / "run", device="cpu", resume=True)
    assert _epochs(tmp_path / "run") == [0, 1, 2, 3]


def test_the_seed_decides_the_weights(toy_recipe: Make, tmp_path: Path) -> None:
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        torch.rand(seed + 3)
        train_run(toy_recipe(seed=seed, training={"epochs": 1, "batch_size": 8}), tmp_path / name, device="cpu")
    assert _same(tmp_path / "a", tmp_path / "b")
    assert not _same(tmp_path / "a", tmp_path / "c")


def test_training_leaves_the_global_generator_alone(toy_recipe: Make, tmp_path: Path) -> None:
    torch.manual_seed(3)
    untouched = torch.rand(2)
    torch.manual_seed(3)
    train_run(toy_recipe(training={"epochs": 1, "batch_size": 8}), tmp_path / "run", device="cpu")
    assert torch.equal(torch.rand(2), untouched)


@pytest.mark.parametrize(("kind", "network"), [("snn", SpikingNetwork), ("ann", Twin)])
def test_a_run_holds_all_that_it_takes_to_use_it(kind: str, network: type, toy_recipe: Make, tmp_path: Path) -> None:
    recipe = toy_recipe(kind=kind)
    run = train_run(recipe, tmp_path / "run", device="cpu")
    again = load_run(tmp_path / "run")
    split = open_dataset(recipe).split("test")
    assert again.recipe == recipe
    assert isinstance(again.network, network)
    assert not again.network.training
    assert torch.equal(evaluate(run, split), evaluate(again, split, batch_size=24))
    assert 0 <= accuracy(evaluate(run, split), split) <= 1
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    # A wheel from PyPI leaves its build (+cu130) out of its metadata.
    assert torch.__version__.startswith(environment["versions"]["torch"])
    assert (environment["seed"], environment["device"].split(",")[0]) == (0, "cpu")


def test_it_learns(toy_recipe: Make, tmp_path: Path) -> None:
    recipe = toy_recipe(kind="ann", training={"epochs": 20, "batch_size": 8, "lr": 0.02})
    split = open_dataset(recipe).split("test")
    assert accuracy(evaluate(train_run(recipe, tmp_path / "run", device="cpu"), split), split) > 0.9


def test_a_diverged_training_is_refused_and_leaves_no_weights(toy_recipe: Make, tmp_path: Path) -> None:
    recipe = toy_recipe(kind="ann", training={"epochs": 2, "batch_size": 8, "lr": 1e30})
    with pytest.raises(SpikeportError, match=r"epoch 0: the loss is no longer finite. Lower training.lr"):
        train_run(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_training_stops_when_validation_stops_improving(toy_recipe: Make, tmp_path: Path) -> None:
    recipe = toy_recipe(training={"epochs": 30, "batch_size": 8, "lr": 1e-9, "patience": 2})
    train_run(recipe, tmp_path / "run", device="cpu")
    epochs, weights = _epochs(tmp_path / "run"), _weights(tmp_path / "run")
    assert 3 <= len(epochs) < 30
    # Killed between the last epoch and the final weights: resuming must not train on.
    (tmp_path / "run" / "weights.safetensors").unlink()
    train_run(recipe, tmp_path / "run", device="cpu", resume=True)
    assert _epochs(tmp_path / "run") == epochs
    assert all(torch.equal(value, weights[name]) for name, value in _weights(tmp_path / "run").items())


def test_a_checkpoint_is_no_pickle(toy_recipe: Make, tmp_path: Path) -> None:
    train_run(toy_recipe(training={"epochs": 1, "batch_size": 8}), tmp_path / "run", device="cpu")
    assert "state_dict" in torch.load(checkpoint_path(tmp_path / "run"), weights_only=True)


def test_an_existing_folder_is_not_overwritten_and_the_advice_works(toy_recipe: Make, tmp_path: Path) -> None:
    recipe = toy_recipe(training={"epochs": 1, "batch_size": 8})
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match=r"it exists already. Remove it, or name another with --out"):
        train_run(recipe, tmp_path / "run", device="cpu")
    assert list((tmp_path / "run").iterdir()) == []
    train_run(recipe, tmp_path / "other", device="cpu")


def test_resuming_a_finished_run_returns_it(toy_recipe: Make, toy_data: type, tmp_path: Path) -> None:
    recipe = toy_recipe(training={"epochs": 1, "batch_size": 8})
    train_run(recipe, tmp_path / "run", device="cpu")
    before = (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns
    assert train_run(recipe, tmp_path / "run", device="cpu", resume=True).recipe == recipe
    assert (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns == before


def test_resuming_with_another_recipe_is_refused(toy_recipe: Make, tmp_path: Path) -> None:
    train_run(toy_recipe(training={"epochs": 1, "batch_size": 8}), tmp_path / "run", device="cpu")
    other = toy_recipe(seed=4, training={"epochs": 1, "batch_size": 8})
    with pytest.raises(UsageError, match="another recipe: 'seed' differs"):
        train_run(other, tmp_path / "run", device="cpu", resume=True)


def test_a_truncated_checkpoint_is_refused_and_the_advice_works(
    toy_recipe: Make, toy_data: type, tmp_path: Path
) -> None:
    toy_data.fail_at_epoch = 1
    with pytest.raises(RuntimeError, match="killed"):
        train_run(toy_recipe(), tmp_path / "run", device="cpu")
    toy_data.fail_at_epoch = None
    last = checkpoint_path(tmp_path / "run")
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ArtefactError, match=r"last.ckpt: it is truncated .*Remove it to train from the start"):
        train_run(toy_recipe(), tmp_path / "run", device="cpu", resume=True)
    last.unlink()
    train_run(toy_recipe(), tmp_path / "run", device="cpu", resume=True)


def test_runs_that_cannot_be_loaded_say_why(toy_recipe: Make, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(ArtefactError, match=r"there is no recipe.yaml"):
        load_run(path)
    train_run(toy_recipe(training={"epochs": 1, "batch_size": 8}), path, device="cpu")
    file = path / "weights.safetensors"
    whole, weights = file.read_bytes(), _weights(path)
    file.write_bytes(whole[:200])
    with pytest.raises(ArtefactError, match=r"weights.safetensors: it is truncated"):
        load_run(path)
    save_file({"other": torch.zeros(2)}, file)
    with pytest.raises(ArtefactError, match=r"names differ"):
        load_run(path)
    save_file(weights | {"readout.linear.bias": torch.zeros(7)}, file)
    with pytest.raises(ArtefactError, match=r"'readout.linear.bias' is \[7\], the recipe's network has \[2\]"):
        load_run(path)
    file.unlink()
    with pytest.raises(ArtefactError, match=r"the training has not finished. Resume it with --resume"):
        load_run(path)
    (path / "recipe.yaml").write_text("name: x\n")
    with pytest.raises(ArtefactError, match=r"recipe.yaml: it is not a recipe: key 'model'"):
        load_run(path)


def test_a_batch_larger_than_the_training_part_is_refused(toy_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"training.batch_size' = 25: the training part is smaller"):
        train_run(toy_recipe(training={"epochs": 1, "batch_size": 25}), tmp_path / "run", device="cpu")


def test_a_gpu_that_is_not_there_is_unavailable(
    toy_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match=r"torch sees no GPU here. Use --device auto"):
        train_run(toy_recipe(), tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [rate_at(step, 100, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.slow
def test_bf16_and_accumulated_gradients_learn_as_float32_does(tmp_path: Path) -> None:
    """Two batches of 32 a step in bfloat16 are one of 64 but for rounding: both learn the digits."""
    steps = ("training.epochs=2", "training.lr=1e-2")
    plain = load_recipe("av-digits", [*steps, "training.batch_size=64"])
    coarse = load_recipe(
        "av-digits", [*steps, "training.batch_size=32", "training.accumulate=2", "training.precision=bf16"]
    )
    best = [
        max(json.loads(line)["val_accuracy"] for line in (run.path / "metrics.jsonl").read_text().splitlines())
        for run in (train_run(plain, tmp_path / "plain"), train_run(coarse, tmp_path / "coarse"))
    ]
    assert min(best) > 0.9
    assert abs(best[0] - best[1]) < 0.05
