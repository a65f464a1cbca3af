"""`spikeport check`."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict

from spikeport.cli.sources import backend_names, meaning_of, open_network


def run(args: argparse.Namespace) -> int:
    """Print node, what becomes of it, and why, for every backend."""
    from spikeport.deploy import backends
    from spikeport.deploy.backend import explain_stage
    from spikeport.deploy.loops import lockstep_refusal

    network, _ = open_network(args)
    names = backend_names(args.backend, ["all"])
    found = {
        name: {stage.name: [asdict(v) for v in explain_stage(backends.get(name), stage)] for stage in network.chips}
        for name in names
    }
    host = [stage.name for stage in network.stages if stage.kind == "host"]
    refusals = {n: str(why) for n in names if (why := lockstep_refusal(network, backends.get(n)))}
    if args.json:
        about = {"network": network.name, "dt_s": network.dt_s}
        print(json.dumps({**about, "backends": found, "host": host, "refusals": refusals}, indent=2))
        return 0
    _print_table(found, host, refusals)
    print(f"next: {_next(args, {name: stages for name, stages in found.items() if name not in refusals})}")
    return 0


def _next(args: argparse.Namespace, found: dict[str, dict[str, list[dict[str, str]]]]) -> str:
    """Return the next command: a deployment on the first backend that refuses nothing."""
    for name, stages in found.items():
        if all(verdict["fate"] != "refused" for verdicts in stages.values() for verdict in verdicts):
            return shlex.join(["spikeport", "deploy", str(args.network), *meaning_of(args), "--backend", name])
    return "change what is refused above"


def _print_table(found: dict[str, dict[str, list[dict[str, str]]]], host: list[str], refusals: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for name, stages in found.items():
        for stage, verdicts in stages.items():
            table = Table("node", "type", "becomes", "why", title=f"{name}: stage {stage}", title_justify="left")
            for verdict in verdicts:
                table.add_row(verdict["node"], verdict["kind"], verdict["fate"], verdict["reason"])
            console.print(table)
        if name in refusals:
            console.print(f"{name}: the network as a whole is refused: {refusals[name]}")
    for stage in host:
        console.print(f"stage {stage}: runs on the host, by onnxruntime")
