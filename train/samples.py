"""From a recipe to the tensors that a network takes, encoded or not.

Shape suffixes: T time steps, N samples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spikeport.models import MODELS
from spikeport.models.network import SpikingNetwork
from spikeport.models.twin import Equivalent, Twin
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.base import Dataset, Split
from spikeport.train.encodings import encode, encoded_shape, has_frames, raw_layout
from spikeport.train.recipe import Recipe
from spikeport.train.seeds import derived


def open_dataset(recipe: Recipe) -> Dataset:
    """Return the recipe's dataset, with its noise and seeds."""
    kind = DATASETS.get(recipe.data.name)
    params = validated(kind.params, recipe.data.params, "data.params")
    return kind.open(params, recipe.data.noise, recipe.data.split_seed, recipe.seed)


def event_inputs(recipe: Recipe) -> frozenset[str]:
    """Return the inputs that hold spikes or counts of them before encoding."""
    kind = DATASETS.get(recipe.data.name)
    return kind.events(validated(kind.params, recipe.data.params, "data.params"))


def model_params(recipe: Recipe) -> Any:
    """Return the checked parameters of the recipe's network, an instance of its family's class."""
    return validated(MODELS.get(recipe.model.name).params, recipe.model.params, "model.params")


def raw_shapes(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Return the shape before encoding, without N, of each input that the recipe's network takes."""
    family, kind = MODELS.get(recipe.model.name), DATASETS.get(recipe.data.name)
    shapes = kind.shapes(validated(kind.params, recipe.data.params, "data.params"))
    return {name: tuple(shapes[name]) for name in family.inputs(model_params(recipe))}


def encoded_shapes(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Return the shape of a step, without T and N, of each input that the recipe's spiking network takes."""
    return {
        name: encoded_shape(recipe.encodings[name], shape, recipe.timesteps)
        for name, shape in raw_shapes(recipe).items()
    }


def build_network(recipe: Recipe) -> SpikingNetwork | Twin:
    """Return the recipe's network with initial weights that its seed decides."""
    family = MODELS.get(recipe.model.name)
    params = model_params(recipe)
    classes = DATASETS.get(recipe.data.name).classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived(recipe.seed, "weights"))
        if recipe.kind == "snn":
            return family.build(params, encoded_shapes(recipe), classes)
        per_run = {name: _per_run(recipe, name, s) for name, s in raw_shapes(recipe).items()}
        return family.twin(params, per_run, classes, equivalent(recipe))


def equivalent(recipe: Recipe) -> Equivalent:
    """Return which ANN the recipe's twin is."""
    frames = {n: s[0] for n, s in raw_shapes(recipe).items() if has_frames(recipe.encodings[n])}
    count = next(iter(frames.values()), None)
    return Equivalent(recipe.twin.kind, recipe.timesteps, count, recipe.twin.macs, frozenset(frames))


def _per_run(recipe: Recipe, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a twin's layer sees: of one frame where the encoding takes frames, laid out as encoded."""
    spec = recipe.encodings[name]
    return raw_layout(spec, shape[1:] if has_frames(spec) else shape)


def encoded_inputs(recipe: Recipe, split: Split, names: tuple[str, ...], seed: int) -> dict[str, Tensor]:
    """Return what a spiking network takes: inputs `names` of `split` as [T, N, *shape]."""
    return {
        name: encode(recipe.encodings[name], split.inputs[name], recipe.timesteps, derived(seed, "encode", name), name)
        for name in names
    }


def network_inputs(recipe: Recipe, network: SpikingNetwork | Twin, split: Split, seed: int) -> dict[str, Tensor]:
    """Return what `network` takes: encoded for a spiking network, as they are for a twin."""
    if isinstance(network, SpikingNetwork):
        return encoded_inputs(recipe, split, network.input_names, seed)
    return {name: torch.from_numpy(split.inputs[name]) for name in network.input_names}
