"""`spikeport train`."""

from __future__ import annotations

import argparse
from pathlib import Path


def run(args: argparse.Namespace) -> int:
    """Train a recipe into a run folder."""
    from spikeport.train.recipe import load_recipe
    from spikeport.train.run import train_run

    recipe = load_recipe(args.recipe, args.set)
    out = args.out or Path("runs") / recipe.name
    trained = train_run(recipe, out, args.device, args.resume)
    print(f"run: {trained.path}")
    print(f"next: spikeport export {trained.path}" if recipe.kind == "snn" else f"next: spikeport bench {trained.path}")
    return 0
