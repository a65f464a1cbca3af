"""The labelled samples that every row of a benchmark is scored on.

Shape suffixes: T time steps, N samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.benchmarks import blocks
from spikeport.errors import UsageError, did_you_mean
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.base import Split
from spikeport.train.datasets.user_file import load_file
from spikeport.train.encodings import EncodingSpec
from spikeport.train.recipe import Recipe
from spikeport.train.samples import encoded_inputs, open_dataset

Array = NDArray[np.generic]


@dataclass(frozen=True)
class DataRequest:
    """Which samples the user wants.

    Attributes:
        data: a dataset's name, the path of an `.npz`, or `None` for the recipe's own test part.
        encodings: inputs that the file holds raw, as `input` or `input=encoding`.
        limit: the first so many samples.
        skip_bad: leave unreadable samples out and count them.
    """

    data: str | None = None
    encodings: Sequence[str] = ()
    limit: int | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class Samples:
    """Labelled samples.

    Attributes:
        about: name, part, number and note.
        encoded: each input as the core sees it [T, N, *shape].
        raw: before encoding, which a twin takes; `None` where the user's file holds encoded inputs.
        labels_N: the classes.
    """

    about: blocks.Dataset
    encoded: Mapping[str, Array]
    raw: Split | None
    labels_N: NDArray[np.int64]


def load_samples(
    request: DataRequest, recipe: Recipe | None, shapes: Mapping[str, tuple[int, ...]], timesteps: int, classes: int
) -> Samples:
    """Return the samples that `request` names, encoded for a network of these input `shapes`.

    Args:
        request: what the user asked for.
        recipe: the network's recipe, `None` for a network that spikeport did not train.
        shapes: the shape of each input of the core.
        timesteps: T.
        classes: how many.

    Raises:
        UsageError: an unknown dataset, or none named for a network without a recipe.
        ArtefactError: the user's file does not fit; the key and the fix are named.
    """
    if request.data is not None and (request.data.endswith(".npz") or Path(request.data).exists()):
        return _from_file(request, recipe, shapes, timesteps, classes)
    if recipe is None:
        raise UsageError("--data", "the network carries no recipe, so its data are not known", "Give --data FILE.npz")
    if request.data not in (None, recipe.data.name):
        if request.data in DATASETS:
            reason = f"the network was trained on '{recipe.data.name}' and its inputs do not fit it"
            raise UsageError(f"dataset '{request.data}'", reason, "Name the network's own, or give FILE.npz")
        fix = did_you_mean(str(request.data), DATASETS) + "; or give a FILE.npz"
        raise UsageError(f"dataset '{request.data}'", "there is no such dataset", fix)
    if request.encodings:
        raise UsageError("--encoding", "a dataset by name is encoded by the recipe", "Use it with --data FILE.npz")
    return _from_dataset(request, recipe, tuple(shapes))


def _from_dataset(request: DataRequest, recipe: Recipe, names: tuple[str, ...]) -> Samples:
    raw = open_dataset(recipe).split("test")
    raw = raw.take(slice(request.limit))
    encoded = encoded_inputs(recipe, raw, names, recipe.data.split_seed)
    about = blocks.Dataset(
        name=recipe.data.name, split="test", samples=len(raw), note=DATASETS.get(recipe.data.name).note
    )
    return Samples(about, {n: x.numpy() for n, x in encoded.items()}, raw, raw.labels)


def _from_file(
    request: DataRequest,
    recipe: Recipe | None,
    shapes: Mapping[str, tuple[int, ...]],
    timesteps: int,
    classes: int,
) -> Samples:
    path = Path(str(request.data))
    encodings = dict(_encoding(text, recipe) for text in request.encodings)
    found = load_file(path, shapes, timesteps, classes, encodings, request.skip_bad)
    limit = slice(request.limit)
    labels_N = found.labels_N[limit]
    skipped = f"; {found.skipped} bad samples skipped" if found.skipped else ""
    about = blocks.Dataset(
        name=path.name, split="file", samples=len(labels_N), note=f"the user's own labelled file{skipped}"
    )
    encoded = {n: x[:, limit].numpy() for n, x in found.encoded.items()}
    return Samples(about, encoded, found.raw.take(limit) if found.raw else None, labels_N)


def _encoding(text: str, recipe: Recipe | None) -> tuple[str, EncodingSpec]:
    name, equals, kind = text.partition("=")
    if equals:
        return name, EncodingSpec(name=kind)
    if recipe is None or name not in recipe.encodings:
        raise UsageError(f"--encoding {text}", "the network's recipe has none for it", f"Write {name}=ENCODING")
    return name, recipe.encodings[name]
