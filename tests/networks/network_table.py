"""The 34 networks as a table: `python tests/networks/network_table.py [NUMBER ...] [--backend NAME ...]`.

A row: what became of the network as it stands, how long the export took, the share of neurons on the chip side and of
operations on the host, and what became of the bundle on each backend.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from network_cases import CASES
from network_harness import Row, try_case

BACKENDS = ("norse", "lava-float", "loihi")


def line(row: Row, width: int = 110) -> str:
    """Return a row of the Markdown table."""
    took = "" if row.seconds is None else f"{row.seconds:.1f}"
    neurons, ops = ("" if x is None else f"{x:.0%}" for x in (row.chip_neurons, row.host_ops))
    words = [row.status, took, neurons, ops, *row.backends.values()]
    cells = [str(row.case.number), row.case.name, *(" ".join(w.split()).replace("|", "/")[:width] for w in words)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int)
    parser.add_argument("--backend", action="append", choices=BACKENDS)
    asked = parser.parse_args()
    names = tuple(asked.backend or BACKENDS)
    warnings.simplefilter("ignore")
    sys.stdout.write(f"| # | network | as it stands | s | on the chip | host ops | {' | '.join(names)} |\n")
    sys.stdout.write("|---" * (6 + len(names)) + "|\n")
    tally: Counter[str] = Counter()
    for case in CASES:
        if asked.numbers and case.number not in asked.numbers:
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = try_case(case, Path(folder), names)
        tally[row.status.partition(":")[0]] += 1
        sys.stdout.write(line(row) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{dict(tally)}\n")


if __name__ == "__main__":
    main()
