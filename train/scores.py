"""Test accuracy over seeds, noise levels and kinds of network: what the recipes promise, measured."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spikeport.train.evaluate import accuracy, evaluate
from spikeport.train.recipe import load_recipe
from spikeport.train.run import train_run
from spikeport.train.samples import open_dataset

# A variant's name and what it changes in the recipe.
VARIANTS: dict[str, tuple[str, ...]] = {
    "snn": (),
    "ann": ("kind=ann",),
    "snn image": ("model.params.modality=image",),
    "snn audio": ("model.params.modality=audio",),
}


@dataclass(frozen=True)
class Score:
    """One trained network: its test accuracy at the noise that it was trained with, and how long that took."""

    variant: str
    noise: float
    seed: int
    accuracy: float
    train_seconds: float


def measure(
    folder: Path, variants: Iterable[str], noises: Iterable[float], seeds: Iterable[int], overrides: Sequence[str] = ()
) -> list[Score]:
    """Train `av-digits` into `folder` in every combination, going on with what is there; return the scores."""
    scores = []
    for variant, noise, seed in itertools.product(variants, noises, seeds):
        levels = (f"data.noise.image={noise}", f"data.noise.audio={noise}", f"seed={seed}")
        recipe = load_recipe("av-digits", [*VARIANTS[variant], *levels, *overrides])
        started = time.monotonic()
        run = train_run(recipe, folder / f"{variant.replace(' ', '-')}-{noise}-{seed}", resume=True)
        seconds = time.monotonic() - started
        test = open_dataset(recipe).split("test")
        scores.append(Score(variant, noise, seed, accuracy(evaluate(run, test), test), seconds))
    return scores


def mean(scores: Iterable[Score], variant: str, noise: float) -> float:
    """Return the mean accuracy over seeds."""
    return statistics.fmean(s.accuracy for s in scores if (s.variant, s.noise) == (variant, noise))


def table(scores: Sequence[Score]) -> str:
    """Return the scores as a Markdown table: a line a variant and noise, with every seed and the mean."""
    lines = ["| network | noise | by seed | mean | seconds to train |", "|---|---|---|---|---|"]
    for variant, noise in dict.fromkeys((s.variant, s.noise) for s in scores):
        some = [s for s in scores if (s.variant, s.noise) == (variant, noise)]
        by_seed = " ".join(f"{s.accuracy:.3f}" for s in some)
        seconds = " ".join(f"{s.train_seconds:.0f}" for s in some)
        lines.append(f"| {variant} | {noise} | {by_seed} | {mean(some, variant, noise):.4f} | {seconds} |")
    return "\n".join(lines) + "\n"
