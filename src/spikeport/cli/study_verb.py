"""`spikeport study`."""

from __future__ import annotations

import argparse
import sys

from spikeport.cli.overrides import overrides_of, skip_bad_explained
from spikeport.cli.telling import tell
from spikeport.errors import UsageError


def run(args: argparse.Namespace) -> int:
    """Train and score the variants of a study into its folder; 1 where a run failed."""
    from spikeport.benchmarks.studies.plan import load_study
    from spikeport.benchmarks.studies.running import run_study
    from spikeport.benchmarks.studies.table import CURVES, FILE

    seeds = None if args.seeds is None else _seeds(args.seeds)
    with skip_bad_explained(args):
        study = load_study(args.study, overrides_of(args), seeds)
    only = None if args.only is None else [name.strip() for name in args.only.split(",")]
    outcomes = run_study(study, args.out, tell, only, args.jobs, args.device)
    print((args.out / FILE).read_text(encoding="utf-8"))
    print(f"table: {args.out / FILE}")
    if (args.out / CURVES).exists():
        print(f"curves: {args.out / CURVES}")
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed:
        print(f"failed: {outcome.variant}, seed {outcome.seed}: {outcome.reason}", file=sys.stderr)
    best = next((outcome for outcome in outcomes if outcome.status == "ok"), None)
    if best is not None:
        print(f"next: spikeport export {args.out / 'runs' / f'{best.variant}-{best.seed}'}")
    return 1 if failed else 0


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError(f"--seeds {text}", "it needs different whole numbers of at least 0", "Write --seeds 0,1,2")
    return seeds
