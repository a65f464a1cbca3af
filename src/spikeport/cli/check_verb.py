"""`spikeport check`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from spikeport.cli.sources import backend_names, open_network


def run(args: argparse.Namespace) -> int:
    """Print node, what becomes of it, and why, for every backend."""
    from spikeport.deploy import backends

    network, _ = open_network(args)
    names = backend_names(args.backend, ["all"])
    found = {
        name: {stage.name: [asdict(v) for v in backends.get(name).explain(stage.graph)] for stage in network.chips}
        for name in names
    }
    host = [stage.name for stage in network.stages if stage.kind == "host"]
    if args.json:
        print(json.dumps({"network": network.name, "dt_s": network.dt_s, "backends": found, "host": host}, indent=2))
        return 0
    _print_table(found, host)
    print(f"next: spikeport deploy {args.network} --backend {names[0]}")
    return 0


def _print_table(found: dict[str, dict[str, list[dict[str, str]]]], host: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for name, stages in found.items():
        for stage, verdicts in stages.items():
            table = Table("node", "type", "becomes", "why", title=f"{name}: stage {stage}", title_justify="left")
            for verdict in verdicts:
                table.add_row(verdict["node"], verdict["kind"], verdict["fate"], verdict["reason"])
            console.print(table)
    for stage in host:
        console.print(f"stage {stage}: runs on the host, by onnxruntime")
