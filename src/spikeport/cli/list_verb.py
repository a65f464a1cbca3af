"""`spikeport list`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable


def run(args: argparse.Namespace) -> int:
    """Print the names of one kind of thing, or what becomes of every layer."""
    if args.what == "layers":
        return _layers(args.json)
    names = sorted(_names(args.what))
    print(json.dumps(names) if args.json else "\n".join(names))
    return 0


def _layers(as_json: bool) -> int:
    from spikeport.export.support import CASES, rows

    table = rows(CASES)
    if as_json:
        print(json.dumps([row.as_json() for row in table], indent=2))
        return 0
    width = max(len(row.subject) for row in table)
    for row in table:
        print(f"{row.subject:<{width}}  {row.verdict:<21}  {'; '.join(row.settings)}")
        for line in (", ".join(row.nodes), *row.notes):
            if line:
                print(f"{'':<{width}}    {line}")
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
    if what == "studies":
        from spikeport.benchmarks.studies.plan import study_names

        return study_names()
    if what == "backends":
        from spikeport.deploy import backends

        return backends
    from spikeport.benchmarks.energy import available

    return available()
