"""`spikeport bench --suite`."""

from __future__ import annotations

import argparse
import sys

from spikeport.errors import UsageError


def run(args: argparse.Namespace) -> int:
    """Run one suite and print its rows; 1 where the two sides of a row did not compute the same."""
    from spikeport.benchmarks.suites import suites
    from spikeport.benchmarks.suites.result import print_suite, write_suite

    if args.networks:
        reason = "a suite brings its own networks"
        raise UsageError(f"--suite {args.suite} with '{args.networks[0]}'", reason, "Drop the one or the other")
    if args.floor:
        reason = "a suite has no metrics with floors"
        raise UsageError(f"--suite {args.suite} with --floor", reason, "Drop --floor, or bench a network")
    if args.require_coverage is not None:
        reason = "a suite has no proof with a coverage"
        raise UsageError(f"--suite {args.suite} with --require-coverage", reason, "Drop it, or bench a network")
    result = suites.get(args.suite)()
    print_suite(result)
    for row in result.rows:
        if row.equal is False:
            print(f"failed: {row.case}: ours and {row.peer} computed different things", file=sys.stderr)
    if args.json:
        write_suite(result, args.json)
        print(f"results: {args.json}")
    else:
        print("next: add --json suite.json to keep this")
    return 0 if result.holds else 1
