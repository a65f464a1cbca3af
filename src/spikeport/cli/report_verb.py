"""`spikeport report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from spikeport.errors import ArtefactError, UsageError
from spikeport.models.zoo import CARD, located


def run(args: argparse.Namespace) -> int:
    """Redraw a report from `results.json` alone, or lay two side by side."""
    from spikeport.benchmarks.report import print_table, render_card, render_markdown, write_html
    from spikeport.benchmarks.results import read_results

    if args.row is not None and not args.neurobench:
        raise UsageError("--row", "it names what --neurobench writes", "Add --neurobench FILE")
    path = located(args.results)
    if path.is_dir():
        return _card_of(args, path)
    if args.other is not None:
        return _compare(args)
    results = read_results(args.results)
    if args.neurobench:
        from spikeport.benchmarks.neurobench_file import write_neurobench

        row = write_neurobench(results, args.neurobench, args.row)
        print(f"NeuroBench's keys, of {row.id}: {args.neurobench}")
    elif args.html:
        write_html(results, args.html)
        print(f"report: {args.html}")
    elif args.card:
        print(render_card(results))
    elif args.markdown:
        print(render_markdown(results))
    else:
        print_table(results)
    return 0


def _card_of(args: argparse.Namespace, bundle: Path) -> int:
    """Print the card that lies in a bundle."""
    if not args.card or args.other is not None:
        reason = "a bundle carries its model card, and no results to draw"
        raise UsageError(str(args.results), reason, "Add --card, or bench it with --json and report that")
    try:
        print((bundle / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        fix = "Bench it with --json FILE, and report FILE --card"
        raise ArtefactError(str(bundle), f"there is no {CARD} in it", fix) from None
    return 0


def _compare(args: argparse.Namespace) -> int:
    from spikeport.benchmarks.report import print_comparison, render_comparison, write_comparison
    from spikeport.benchmarks.results import read_results

    if args.card:
        raise UsageError("--card", "a model card is of one network's results", "Name one file")
    if args.neurobench:
        raise UsageError("--neurobench", "such a file is of one network", "Name one results.json")
    first, second = read_results(args.results), read_results(args.other)
    if args.html:
        write_comparison(first, second, args.html)
        print(f"report: {args.html}")
    elif args.markdown:
        print(render_comparison(first, second))
    else:
        print_comparison(first, second)
    return 0
