"""The command: `python -m spikeport.benchmarks.occupancy [CASE ...] [--chip CHIP] [--layers] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import spikeport.benchmarks.occupancy as package
from spikeport.benchmarks.occupancy.cases import CASES, case_of
from spikeport.benchmarks.occupancy.report import (
    ASSUMPTIONS,
    NOT_SHARED,
    SHARED_KERNELS,
    Occupancy,
    content,
    layer_table,
    occupancy,
    table,
)
from spikeport.benchmarks.occupancy.structure import structure_of
from spikeport.deploy.loihi.mapper.chip import Chip, available, load
from spikeport.errors import SpikeportError
from spikeport.files import new_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="spikeport.benchmarks.occupancy", description=package.__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; all by default")
    parser.add_argument("--chip", action="append", help="a chip, or its YAML file; by default all that come along")
    parser.add_argument("--layers", action="store_true", help="a table of the layers, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything")
    args = parser.parse_args(arguments)
    try:
        chips = [load(name) for name in args.chip or available()]
        found = [one for name in args.cases or CASES for one in measured(name, chips)]
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(_text(found, args.layers))
    if args.json:
        with new_file(args.json) as aside:
            aside.write_text(json.dumps(content(found), indent=1) + "\n", encoding="utf-8")
    return 0


def measured(name: str, chips: Sequence[Chip]) -> list[Occupancy]:
    """Return the occupancy of the case called `name` on each chip."""
    case = case_of(name)
    structure = structure_of(case.graph())
    return [occupancy(name, case.title, structure, case.graded, chip) for chip in chips]


def _text(found: Sequence[Occupancy], layers: bool) -> str:
    parts = [table(found)]
    if layers:
        parts += [f"{one.title} on {one.chip.name}\n\n{layer_table(one)}" for one in found]
    chips = dict.fromkeys(one.chip.name for one in found)
    notes = [*ASSUMPTIONS, *(f"{chip}, shared kernels: {SHARED_KERNELS.get(chip, NOT_SHARED)}" for chip in chips)]
    notes += [f"{one.title} on {one.chip.name}: {one.note}" for one in found if one.note]
    parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
