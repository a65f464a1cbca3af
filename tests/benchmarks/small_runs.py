"""Small trained runs of av-digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spikeport.train.recipe import load_recipe
from spikeport.train.run import train_run

SMALL = ("training.epochs=1", "timesteps=4", "data.params.frames=4", "model.params={channels: [2, 3]}")


def train_small(folder: Path, settings: Mapping[str, Sequence[str]]) -> Path:
    """Train a run of each name with its settings; return the folder that holds them."""
    for name, own in settings.items():
        train_run(load_recipe("av-digits", [*SMALL, *own]), folder / name)
    return folder
