"""A network with snnTorch's default reset, in float and on Loihi's integers: accuracies on the same test samples.

`python -m spikeport.benchmarks.default_reset --out runs/default-reset` trains `mnist-default-reset` once for each seed
and scores what was exported on `reference` and on `loihi` at 8 bits, quantised after training: 2,000 test samples, the
difference with a paired 95 % interval. Exits with 1 where an interval reaches below the margin. What an earlier run
left in the folder is used again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spikeport.benchmarks.statistics import Paired, paired_difference
from spikeport.benchmarks.weight_bits import right_answers
from spikeport.errors import SpikeportError
from spikeport.train.recipe import load_recipe
from spikeport.train.run import train_run

RECIPE = "mnist-default-reset"


@dataclass(frozen=True)
class Scored:
    """One seed: accuracies in float and in integers, and the difference of the second from the first."""

    seed: int
    in_float: float
    in_integers: float
    difference: Paired


def measure(out: Path, seeds: Sequence[int], bits: int = 8, settings: Sequence[str] = ()) -> Iterator[Scored]:
    """Train and score each seed; `settings` override keys of the recipe."""
    for seed in seeds:
        run = train_run(load_recipe(RECIPE, [f"seed={seed}", *settings]), out / f"seed-{seed}", resume=True)
        float_N, integer_N = right_answers(run, None), right_answers(run, bits)
        compared = paired_difference(integer_N, float_N)
        yield Scored(seed, float(float_N.mean()), float(integer_N.mean()), compared)


def table(found: Sequence[Scored]) -> str:
    """Return the scores as Markdown."""
    lines = ["| seed | float | integers | difference, 95 % | samples |", "|---|---|---|---|---|"]
    for one in found:
        low, high = one.difference.ci95
        change = f"{one.difference.difference:+.4f} ({low:+.4f} to {high:+.4f})"
        lines.append(f"| {one.seed} | {one.in_float:.4f} | {one.in_integers:.4f} | {change} | {one.difference.n} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m spikeport.benchmarks.default_reset", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/default-reset"), metavar="DIR", help="where the runs go")
    parser.add_argument("--seed", type=int, action="append", metavar="N", help="default: 0, 1 and 2")
    parser.add_argument("--bits", type=int, default=8, metavar="N", help="of the weights (default: 8)")
    parser.add_argument("--margin", type=float, default=0.01, metavar="X", help="largest loss allowed (default: 0.01)")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override a key of the recipe")
    args = parser.parse_args(argv)
    found = []
    try:
        for scored in measure(args.out, args.seed or [0, 1, 2], args.bits, args.set):
            found.append(scored)
            sys.stderr.write(f"seed {scored.seed}: {scored.in_float:.4f} and {scored.in_integers:.4f}\n")
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{table(found)}\n")
    return int(any(one.difference.ci95[0] < -args.margin for one in found))


if __name__ == "__main__":
    sys.exit(main())
