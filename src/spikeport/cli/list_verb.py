"""`spikeport list`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable


def run(args: argparse.Namespace) -> int:
    """Print the names of one kind of thing."""
    names = sorted(_names(args.what))
    print(json.dumps(names) if args.json else "\n".join(names))
    return 0


def _names(what: str) -> Iterable[str]:
    if what == "models":
        from spikeport.models import MODELS

        return MODELS
    if what == "datasets":
        from spikeport.train.datasets import DATASETS

        return DATASETS
    if what == "recipes":
        from spikeport.train.recipe import recipe_names

        return recipe_names()
    if what == "backends":
        from spikeport.deploy import backends

        return backends
    from spikeport.benchmarks.energy import available

    return available()
