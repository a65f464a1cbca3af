"""`spikeport train`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from spikeport.cli.overrides import overrides_of, skip_bad_explained
from spikeport.cli.telling import tell


def run(args: argparse.Namespace) -> int:
    """Train a recipe into a run folder."""
    from spikeport.train.recipe import load_recipe
    from spikeport.train.run import train_run

    start = [] if args.start_from is None else [f"start_from={json.dumps(args.start_from)}"]
    with skip_bad_explained(args):
        recipe = load_recipe(args.recipe, [*overrides_of(args), *start])
    out = args.out or Path("runs") / recipe.name
    trained = train_run(recipe, out, args.device, args.resume, tell)
    print(f"run: {trained.path}")
    print(f"next: spikeport export {trained.path}" if recipe.kind == "snn" else f"next: spikeport bench {trained.path}")
    return 0
