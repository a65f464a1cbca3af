"""`spikeport report`."""

from __future__ import annotations

import argparse


def run(args: argparse.Namespace) -> int:
    """Redraw a report from `results.json` alone."""
    from spikeport.benchmarks.report import print_table, render_markdown, write_html
    from spikeport.benchmarks.results import read_results

    results = read_results(args.results)
    if args.html:
        write_html(results, args.html)
        print(f"report: {args.html}")
    elif args.markdown:
        print(render_markdown(results))
    else:
        print_table(results)
    return 0
