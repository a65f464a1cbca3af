"""Sweeps: the same network under one changed condition, point by point, beside the unchanged rows.

`timesteps` encodes stills anew into N steps, and stops frames and inputs that came encoded after their first N (the
row's condition says which); `noise` sets the noise of all inputs, in standard deviations, and `snr_db` adds noise by
signal-to-noise ratio to all of them, or to one: `snr_db.audio`; `threshold_scale` multiplies every firing threshold
and exports the network again; `weight_bits` quantises.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast, get_args

import torch

from spikeport.benchmarks.bundling import export_deployed
from spikeport.benchmarks.l2_deployment import Deployed
from spikeport.benchmarks.rows import Scored
from spikeport.benchmarks.samples import DataRequest, Samples, load_samples
from spikeport.benchmarks.subject import Subject, of_bundle
from spikeport.errors import UsageError, did_you_mean
from spikeport.models.state import neurons
from spikeport.train.noise import corrupted
from spikeport.train.recipe import Recipe
from spikeport.train.run import load_run
from spikeport.train.samples import encoded_inputs, event_inputs

Name = Literal["timesteps", "weight_bits", "threshold_scale", "noise", "snr_db"]


@dataclass(frozen=True)
class Sweep:
    """One condition and its values.

    Attributes:
        name: of the condition.
        values: of it.
        input: of `snr_db`: the input that is noisy, `None` for all of them.
    """

    name: Name
    values: tuple[float, ...]
    input: str | None = None

    @property
    def label(self) -> str:
        """What rows and conditions call it."""
        return self.name if self.input is None else f"{self.name}.{self.input}"

    @classmethod
    def parse(cls, text: str) -> Sweep:
        """Return the sweep of `timesteps=4,8,16`.

        Raises:
            UsageError: it is no sweep, a value does not fit, or stands there twice.
        """
        label, equals, listed = text.partition("=")
        name, dot, noisy = label.partition(".")
        if name not in get_args(Name) or (dot and (name != "snr_db" or not noisy)):
            raise UsageError(f"--sweep {text}", "there is no such sweep", did_you_mean(label, get_args(Name)))
        try:
            values = tuple(float(part) for part in listed.split(","))
        except ValueError:
            values = ()
        if not equals or not values or len(set(values)) != len(values):
            raise UsageError(f"--sweep {text}", "it needs different numbers", f"Write {label}=1,2,4")
        least, whole, kind = _BOUNDS.get(name, (1e-9, False, "above 0"))
        for value in values:
            if not least <= value < float("inf") or (whole and value != int(value)):
                raise UsageError(f"--sweep {text}", f"{value:g} is not {kind}", "Correct it")
        return cls(cast(Name, name), values, noisy or None)


# The least value, whether it is a whole number, and both in words.
_BOUNDS = {
    "timesteps": (1.0, True, "a whole number of at least 1"),
    "weight_bits": (1.0, True, "a whole number of at least 1"),
    "noise": (0.0, False, "0 or more"),
    "snr_db": (-1000.0, False, "a number of dB"),
}


@dataclass(frozen=True)
class Point:
    """One value of a sweep, with what to score there.

    Attributes:
        sweep: which, by its label.
        value: of it.
        subject: the network there.
        samples: the samples there.
        told: what else the rows' condition says.
    """

    sweep: str
    value: float
    subject: Subject
    samples: Samples
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> tuple[str, ...]:
        """The kinds of rows that the condition changes; the others are those of the unchanged network."""
        if self.sweep == "weight_bits":
            return ("backend",)
        changes_data = self.sweep.partition(".")[0] in ("noise", "snr_db")
        return ("ann", "snn", "backend") if changes_data else ("snn", "backend")

    def marked(self, scored: Scored) -> Scored:
        """Return the row with its condition, under an id of its own."""
        row = scored.row
        told = f"{self.value:g}"
        condition = {**row.condition, ("T" if self.sweep == "timesteps" else self.sweep): self.value, **self.told}
        changes = {"id": f"{row.id}@{self.sweep}={told}", "condition": condition, "swept": {self.sweep: self.value}}
        return replace(scored, row=row.model_copy(update=changes))


def points(
    sweep: Sweep, path: Path, subject: Subject, samples: Samples, request: DataRequest, scratch: Path
) -> Iterator[Point]:
    """Yield the points of a sweep of the network at `path`.

    Raises:
        UsageError: the network or its samples cannot be swept so.
    """
    for value in sweep.values:
        if sweep.name == "timesteps":
            yield Point(sweep.name, value, subject, *_in_steps(samples, int(value)))
        elif sweep.name == "noise":
            noisy = _noisy(subject, request, value)
            found = load_samples(request, noisy.recipe, noisy.shapes, noisy.timesteps, noisy.classes)
            yield Point(sweep.name, value, noisy, found)
        elif sweep.name == "snr_db":
            yield Point(sweep.label, value, subject, _by_ratio(sweep, subject, samples, request, value))
        elif sweep.name == "threshold_scale":
            yield Point(sweep.name, value, _scaled(path, subject, value, scratch), samples)
        else:
            yield Point(sweep.name, value, subject, samples)


def check_names(sweeps: Sequence[Sweep]) -> None:
    """Raise where one condition is swept twice."""
    names = [sweep.label for sweep in sweeps]
    if len(set(names)) != len(names):
        raise UsageError("--sweep", "one condition is swept twice", "List all values in one --sweep")


def _in_steps(samples: Samples, steps: int) -> tuple[Samples, dict[str, str]]:
    """Return the samples in so many steps, and for each input how: stills encoded anew, the rest stopped."""
    stopped = [name for name in samples.encoded if name not in samples.anew]
    if stopped and steps > samples.timesteps:
        reason = f"the samples have {samples.timesteps} steps, and '{stopped[0]}' is no still to encode anew"
        raise UsageError(f"--sweep timesteps={steps}", reason, "Train with more, or sweep fewer")
    encoded = {n: samples.anew[n](steps) if n in samples.anew else x[:steps] for n, x in samples.encoded.items()}
    told = {f"T.{n}": "encoded anew" if n in samples.anew else "first steps" for n in encoded}
    return replace(samples, encoded=encoded), told


def _noisy(subject: Subject, request: DataRequest, level: float) -> Subject:
    recipe = _own_recipe("noise", subject, request)
    data = recipe.data.model_copy(update={"noise": dict.fromkeys(subject.shapes, level)})
    return replace(subject, recipe=recipe.model_copy(update={"data": data}))


def _by_ratio(sweep: Sweep, subject: Subject, samples: Samples, request: DataRequest, level_db: float) -> Samples:
    """Return the samples with noise before encoding, the same in each row: the split's seed decides it."""
    recipe = _own_recipe(sweep.label, subject, request)
    if sweep.input is not None and sweep.input not in subject.shapes:
        fix = did_you_mean(sweep.input, subject.shapes)
        raise UsageError(f"--sweep {sweep.label}", "the network has no such input", fix)
    noisy = subject.shapes if sweep.input is None else (sweep.input,)
    assert samples.raw is not None
    seed = recipe.data.split_seed
    raw = corrupted(samples.raw, dict.fromkeys(noisy, level_db), seed, event_inputs(recipe))
    encoded = {name: x.numpy() for name, x in encoded_inputs(recipe, raw, tuple(subject.shapes), seed).items()}
    return Samples(samples.about, encoded, raw, samples.labels_N)


def _own_recipe(sweep: str, subject: Subject, request: DataRequest) -> Recipe:
    """Return the recipe of a network that is scored on its recipe's dataset: there samples are at hand unencoded."""
    recipe = subject.recipe
    if recipe is None or request.data not in (None, recipe.data.name):
        reason = "noise is added to the recipe's dataset before encoding, and these samples are a file or another's"
        raise UsageError(f"--sweep {sweep}", reason, "Bench a run or its bundle on its own data")
    return recipe


def _scaled(path: Path, subject: Subject, factor: float, scratch: Path) -> Subject:
    if subject.network is None:
        reason = "thresholds are scaled in the snnTorch network, which is exported again"
        raise UsageError("--sweep threshold_scale", reason, "Bench the run instead of its bundle or file")
    network = copy.deepcopy(subject.network)
    with torch.no_grad():
        for neuron in neurons(network).values():
            neuron.threshold.mul_(factor)
    place = scratch / f"{subject.name}-threshold-{factor:g}.bundle"
    bundle = export_deployed(load_run(path), Deployed(network), place)
    return replace(of_bundle(subject.name, bundle), network=network, l2=subject.l2)
