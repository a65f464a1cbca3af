"""Makes a bundle of the zoo out of a run: exported, scored on its test part, with its model card.

`python -m spikeport.benchmarks.zoo_entry RUN [--name NAME] [--samples N]` writes `models/zoo/NAME.bundle`.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from spikeport.benchmarks.bundling import export_run
from spikeport.benchmarks.report import render_card
from spikeport.benchmarks.results import Results
from spikeport.benchmarks.runner import Request, run_benchmark
from spikeport.errors import SpikeportError, UsageError
from spikeport.files import new_folder
from spikeport.models.zoo import CARD, FOLDER, MARK, PREFIX, SUFFIX, Entry
from spikeport.train.datasets import DATASETS
from spikeport.train.recipe import Recipe
from spikeport.train.run import Run, load_run

MAX_BYTES = 4 << 20


def make_entry(run: Run, name: str, zoo: Path = FOLDER, samples: int = 16) -> Path:
    """Return the folder of the new bundle.

    Args:
        run: a finished training of a spiking network.
        name: of the bundle.
        zoo: the folder that it is put into.
        samples: how many the golden file holds.

    Raises:
        UsageError: it exists, is too large, or its recipe names a folder of this machine.
        UnfaithfulError: the network has no faithful form.
        SpikeportError: the reference backend does not compute what was exported.
    """
    _check_portable(run.recipe)
    with new_folder(zoo / f"{name}{SUFFIX}") as aside, tempfile.TemporaryDirectory(prefix="spikeport-") as scratch:
        place = Path(scratch) / f"{name}{SUFFIX}"
        export_run(run, place, samples)
        results = run_benchmark(Request([place], ["reference"], reproduce=[_command(name, run.recipe)]), _say)
        (place / CARD).write_text(_card(name, run.recipe, results.results), encoding="utf-8")
        size = sum(file.stat().st_size for file in place.iterdir())
        if size > MAX_BYTES:
            reason = f"it has {size} bytes, and a bundle of the zoo at most {MAX_BYTES}"
            raise UsageError(f"{PREFIX}{name}", reason, "Take fewer --samples, or a smaller network")
        shutil.copytree(place, aside, dirs_exist_ok=True)
    return zoo / f"{name}{SUFFIX}"


def _command(name: str, recipe: Recipe) -> str:
    """Return what scores it again, with the data's folders, which lie elsewhere on another machine."""
    fields = DATASETS.get(recipe.data.name).params.model_fields
    paths = [key for key, field in fields.items() if field.annotation in (Path, Path | None)]
    given = {key: recipe.data.params[key] for key in paths if recipe.data.params.get(key) is not None}
    options = [part for key, value in given.items() for part in ("--data-param", f"{key}={value}")]
    return shlex.join(["spikeport", "bench", f"{PREFIX}{name}", *options])


def _card(name: str, recipe: Recipe, results: Results) -> str:
    (row,) = results.rows
    if row.status != "ok" or row.accuracy is None or row.bundle is None:
        raise SpikeportError(f"{PREFIX}{name} on the reference", f"it is {row.status}: {row.reason}", "Export it anew")
    told = Entry(name, recipe.model.name, recipe.data.name, row.accuracy.value, row.accuracy.n, row.bundle, 0)
    head = {key: value for key, value in asdict(told).items() if key != "size_bytes"}
    return f"{MARK}{yaml.safe_dump(head, sort_keys=False)}{MARK}\n{render_card(results)}"


def _check_portable(recipe: Recipe) -> None:
    """Raise where the recipe, which travels with the bundle, names a folder that other machines do not have."""
    for text in _texts([recipe.data.params, recipe.start_from]):
        if Path(text).is_absolute() or text.startswith("~"):
            fix = "Train where the recipe's relative folders lie: a link in the current folder will do"
            raise UsageError(f"'{text}' in the recipe", "it is a folder of this machine, and would be shipped", fix)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Make one bundle; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m spikeport.benchmarks.zoo_entry", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--name", help="of the bundle (default: the run's)")
    parser.add_argument("--samples", type=int, default=16, metavar="N", help="golden samples (default: 16)")
    args = parser.parse_args(argv)
    try:
        path = make_entry(load_run(args.run), args.name or args.run.resolve().name, samples=args.samples)
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(f"bundle: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
