"""The labelled samples that every row of a benchmark is scored on.

Shape suffixes: T time steps, N samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.benchmarks import blocks
from spikeport.benchmarks.named_data import about_dataset, dataset_params, foreign_inputs, named_encoding
from spikeport.errors import UsageError, did_you_mean
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.base import Split
from spikeport.train.datasets.reading import skipped_note
from spikeport.train.datasets.user_file import load_file
from spikeport.train.encodings import ENCODINGS, EncodingSpec, encode
from spikeport.train.recipe import Recipe
from spikeport.train.samples import encoded_inputs, open_dataset
from spikeport.train.seeds import derived

Array = NDArray[np.generic]


@dataclass(frozen=True)
class DataRequest:
    """Which samples the user wants.

    Attributes:
        data: a dataset's name, the path of an `.npz`, or `None` for the recipe's own test part.
        encodings: inputs that the data hold raw, as `input` or `input=encoding`.
        limit: the first so many samples.
        skip_bad: leave unreadable samples out and count them.
        params: of the dataset named, as `key=value`; over the recipe's.
    """

    data: str | None = None
    encodings: Sequence[str] = ()
    limit: int | None = None
    skip_bad: bool = False
    params: Sequence[str] = ()


@dataclass(frozen=True)
class Samples:
    """Labelled samples.

    Attributes:
        about: name, part, number and note.
        encoded: each input as the core sees it [T, N, *shape].
        raw: before encoding, which a twin takes; `None` where the user's file holds encoded inputs.
        labels_N: the classes.
        anew: encodes an input into another number of steps, for each input that is at hand as stills; frames are
            steps already.
    """

    about: blocks.Dataset
    encoded: Mapping[str, Array]
    raw: Split | None
    labels_N: NDArray[np.int64]
    anew: Mapping[str, Callable[[int], Array]] = field(default_factory=dict)

    @property
    def timesteps(self) -> int:
        """T."""
        return len(next(iter(self.encoded.values())))

    @cached_property
    def sha256(self) -> str:
        """Of labels and inputs: before encoding where they are at hand, so that it does not depend on T."""
        digest = hashlib.sha256(self.labels_N.tobytes())
        inputs = self.encoded if self.raw is None else self.raw.inputs
        for name in sorted(inputs):
            x = np.ascontiguousarray(inputs[name])
            digest.update(f"{name} {x.dtype} {x.shape}".encode())
            digest.update(x.data)
        return digest.hexdigest()


def load_samples(
    request: DataRequest,
    recipe: Recipe | None,
    shapes: Mapping[str, tuple[int, ...]],
    timesteps: int | None,
    classes: int,
) -> Samples:
    """Return the samples that `request` names, encoded for a network of these input `shapes`.

    Args:
        request: what the user asked for.
        recipe: the network's recipe, `None` for a network that spikeport did not train.
        shapes: the shape of each input of the core.
        timesteps: T, `None` where the samples decide.
        classes: how many.

    Raises:
        UsageError: an unknown dataset, or none named for a network without a recipe.
        ArtefactError: the user's file does not fit; the key and the fix are named.
    """
    if request.data is not None and (request.data.endswith(".npz") or Path(request.data).is_file()):
        if request.params:
            raise UsageError("--data-param", "a file has no parameters", "Use it with --data NAME")
        return _from_file(request, recipe, shapes, timesteps, classes)
    if request.data is None and recipe is None:
        fix = "Give --data NAME, or --data FILE.npz"
        raise UsageError("--data", "the network carries no recipe, so its data are not known", fix)
    if request.data is not None and request.data not in DATASETS:
        fix = did_you_mean(request.data, DATASETS) + "; or give a FILE.npz"
        raise UsageError(f"dataset '{request.data}'", "there is no such dataset", fix)
    if recipe is None:
        return _from_foreign(request, shapes, timesteps, classes)
    if request.data not in (None, recipe.data.name):
        reason = f"the network was trained on '{recipe.data.name}' and its inputs do not fit it"
        raise UsageError(f"dataset '{request.data}'", reason, "Name the network's own, or give FILE.npz")
    if request.encodings:
        raise UsageError("--encoding", "a dataset by name is encoded by the recipe", "Use it with --data FILE.npz")
    return _from_dataset(request, recipe, tuple(shapes))


def _from_dataset(request: DataRequest, recipe: Recipe, names: tuple[str, ...]) -> Samples:
    params = recipe.data.params | dataset_params(recipe.data.name, request.params, request.skip_bad)
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"params": params})})
    raw = open_dataset(recipe).split("test").take(slice(request.limit))

    def encoded(timesteps: int, names: tuple[str, ...]) -> dict[str, Array]:
        there = recipe.model_copy(update={"timesteps": timesteps})
        return {n: x.numpy() for n, x in encoded_inputs(there, raw, names, recipe.data.split_seed).items()}

    def anew(name: str) -> Callable[[int], Array]:
        return lambda timesteps: encoded(timesteps, (name,))[name]

    stills = {n: anew(n) for n in names if _takes_stills(recipe.encodings[n])}
    about = about_dataset(recipe.data.name, raw)
    return Samples(about, encoded(recipe.timesteps, names), raw, raw.labels, stills)


def _from_foreign(
    request: DataRequest, shapes: Mapping[str, tuple[int, ...]], timesteps: int | None, classes: int
) -> Samples:
    """A dataset by name for a network without a recipe: frames as they are, or by `--encoding input=name`."""
    name = str(request.data)
    kind = DATASETS.get(name)
    params = validated(kind.params, dataset_params(name, request.params, request.skip_bad), "--data-param")
    if kind.classes != classes:
        reason = f"it has {kind.classes} classes, and the network answers with {classes} numbers"
        raise UsageError(f"dataset '{name}'", reason, "Name data that fit the network")
    encodings = dict(named_encoding(text, None) for text in request.encodings)
    sources = foreign_inputs(name, kind.shapes(params), shapes, timesteps, encodings)
    raw = kind.open(params, {}, 0, 0).split("test").take(slice(request.limit))
    encoded = {n: source.encode(raw.inputs[source.name], n).numpy() for n, source in sources.items()}
    return Samples(about_dataset(name, raw), encoded, None, raw.labels)


def _from_file(
    request: DataRequest,
    recipe: Recipe | None,
    shapes: Mapping[str, tuple[int, ...]],
    timesteps: int | None,
    classes: int,
) -> Samples:
    path = Path(str(request.data))
    encodings = dict(named_encoding(text, recipe) for text in request.encodings)
    found = load_file(path, shapes, timesteps, classes, encodings, request.skip_bad)
    limit = slice(request.limit)
    labels_N = found.labels_N[limit]
    note = f"the user's own labelled file{skipped_note(found.bad)}"
    about = blocks.Dataset(name=path.name, split="file", samples=len(labels_N), note=note)
    encoded = {n: x[:, limit].numpy() for n, x in found.encoded.items()}
    if found.raw is None:
        return Samples(about, encoded, None, labels_N)
    inputs = found.raw.inputs

    def anew(name: str) -> Callable[[int], Array]:
        seed = derived(0, "encode", name)
        return lambda steps: encode(encodings[name], inputs[name], steps, seed, name)[:, limit].numpy()

    stills = {name: anew(name) for name in inputs if _takes_stills(encodings[name])}
    return Samples(about, encoded, found.raw.take(limit), labels_N, stills)


def _takes_stills(spec: EncodingSpec) -> bool:
    """Return whether the encoding lays a still out over any number of steps, and takes no frames."""
    return not validated(ENCODINGS.get(spec.name).params, spec.params, f"encoding '{spec.name}'").frames
