"""`spikeport list`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict

from spikeport.cli.energy_list import energy_models


def run(args: argparse.Namespace) -> int:
    """Print the names of one kind of thing, with what is to be known of each where a name does not say it."""
    if args.what == "layers":
        return _layers(args.json)
    if args.what == "zoo":
        return _zoo(args.json)
    if args.what == "energy-models":
        return energy_models(args.json)
    names = sorted(_names(args.what))
    lines = _described(names) if args.what == "datasets" else names
    print(json.dumps(names) if args.json else "\n".join(lines))
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


def _described(names: list[str]) -> list[str]:
    """Return each dataset with what it is and which files it reads."""
    from spikeport.train.datasets import DATASETS

    width = max(map(len, names))
    return [f"{name:<{width}}  {DATASETS.get(name).about}" for name in names]


def _zoo(as_json: bool) -> int:
    from spikeport.models.zoo import PREFIX, entry, zoo_names

    entries = [entry(name) for name in zoo_names()]
    if as_json:
        print(json.dumps([asdict(found) for found in entries], indent=2))
        return 0
    width = max((len(found.name) for found in entries), default=0) + len(PREFIX)
    for found in entries:
        score = f"{100 * found.accuracy:.1f} % of {found.samples} test samples of {found.dataset}"
        print(f"{PREFIX + found.name:<{width}}  {found.model}, {score}, {found.size_bytes / 1e6:.2f} MB")
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
    from spikeport.deploy import backends

    return backends
