"""A dataset named on the command line: its parameters, its encodings, and its fit to a network without a recipe.

Shape suffixes: T time steps, N samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from torch import Tensor

from spikeport.benchmarks import blocks
from spikeport.errors import UsageError, did_you_mean
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.base import Split
from spikeport.train.datasets.reading import skipped_note
from spikeport.train.encodings import EncodingSpec, encode
from spikeport.train.recipe import Recipe
from spikeport.train.seeds import derived

Shapes = Mapping[str, tuple[int, ...]]
AS_IT_IS = EncodingSpec(name="direct", params={"frames": True})


@dataclass(frozen=True)
class Source:
    """Where an input of a network comes from: an input of the dataset, encoded in T steps."""

    name: str
    encoding: EncodingSpec
    timesteps: int

    def encode(self, raw: NDArray[np.float32], name: str) -> Tensor:
        """Return `raw` as [T, N, *shape] for the network's input `name`."""
        return encode(self.encoding, raw, self.timesteps, derived(0, "encode", name), name)


def dataset_params(name: str, texts: Sequence[str], skip_bad: bool) -> dict[str, Any]:
    """Return the parameters `key=value`, and `skip_bad` where the dataset has files that may be bad."""
    params: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"--data-param {text}", "it is not of the form key=value", "Write e.g. folder=DIR")
        try:
            params[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--data-param {text}", "its value is not YAML", "Quote it") from None
    if skip_bad and "skip_bad" in DATASETS.get(name).params.model_fields:
        params["skip_bad"] = True
    return params


def about_dataset(name: str, raw: Split) -> blocks.Dataset:
    """Return the block that names the test part of a dataset."""
    note = DATASETS.get(name).note + skipped_note(raw.bad)
    return blocks.Dataset(name=name, split="test", samples=len(raw), note=note)


def named_encoding(text: str, recipe: Recipe | None) -> tuple[str, EncodingSpec]:
    """Return what `--encoding INPUT[=NAME]` says."""
    name, equals, kind = text.partition("=")
    if equals:
        return name, EncodingSpec(name=kind)
    if recipe is None or name not in recipe.encodings:
        raise UsageError(f"--encoding {text}", "the network's recipe has none for it", f"Write {name}=ENCODING")
    return name, recipe.encodings[name]


def foreign_inputs(
    dataset: str, given: Shapes, wanted: Shapes, timesteps: int | None, encodings: Mapping[str, EncodingSpec]
) -> dict[str, Source]:
    """Return for each input of the network the dataset's input that it takes.

    They go by name; one input takes the one input of a dataset, whatever their names.

    Args:
        dataset: its name, for messages.
        given: the dataset's raw shapes.
        wanted: the network's shapes, a step.
        timesteps: T, `None` where the frames decide.
        encodings: of inputs that are not taken as frames.
    """
    if unknown := sorted(set(encodings) - set(wanted)):
        raise UsageError(f"--encoding {unknown[0]}", "the network has no such input", did_you_mean(unknown[0], wanted))
    names = {n: n for n in wanted}
    if len(given) == len(wanted) == 1:
        names = {next(iter(wanted)): next(iter(given))}
    return {n: _source(dataset, n, names[n], given, wanted[n], timesteps, encodings.get(n)) for n in wanted}


def _source(
    dataset: str,
    name: str,
    source: str,
    given: Shapes,
    wanted: tuple[int, ...],
    timesteps: int | None,
    encoding: EncodingSpec | None,
) -> Source:
    subject = f"input '{name}' of the network"
    if source not in given:
        raise UsageError(subject, f"dataset '{dataset}' has {sorted(given)}", "Name data that fit the network")
    raw = given[source]
    if encoding is not None:
        if timesteps is None:
            reason = "the network does not say into how many steps its input is encoded"
            raise UsageError(f"--encoding {name}={encoding.name}", reason, "Give encoded samples with --data FILE.npz")
        return Source(source, encoding, timesteps)
    steps = timesteps or raw[0]
    if raw != (steps, *wanted):
        reason = f"it takes {list(wanted)} a step, T = {timesteps or 'any'}, and '{dataset}' gives {list(raw)}"
        raise UsageError(subject, reason, f"Give --encoding {name}=ENCODING, or other parameters of the dataset")
    return Source(source, AS_IT_IS, steps)
