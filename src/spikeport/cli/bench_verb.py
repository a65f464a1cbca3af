"""`spikeport bench`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from typing import TYPE_CHECKING

from spikeport.cli import suite_verb
from spikeport.cli.covering import rows_lack
from spikeport.cli.floors import Floor
from spikeport.cli.sources import backend_names, registers_of, weight_bits_of
from spikeport.cli.telling import end_progress, report_progress
from spikeport.errors import UsageError
from spikeport.models.zoo import located

if TYPE_CHECKING:
    from spikeport.benchmarks.results import Results
    from spikeport.benchmarks.runner import Outcome


def run(args: argparse.Namespace) -> int:
    """Measure networks on the same samples and print the table."""
    if args.suite is not None:
        return suite_verb.run(args)
    if not args.networks:
        raise UsageError("bench", "it names nothing to measure", "Name runs, bundles or .nir files, or a --suite")
    from spikeport.benchmarks.measured.windows import Plan
    from spikeport.benchmarks.runner import Request, run_benchmark
    from spikeport.benchmarks.samples import DataRequest
    from spikeport.benchmarks.subject import NirReading
    from spikeport.benchmarks.sweep import Sweep
    from spikeport.export.coverage import check_required

    networks = [located(path) for path in args.networks]
    if (args.dt is not None or args.register or args.if_step) and not any(path.is_file() for path in networks):
        reason = "no bare .nir file is named, and all else says its own dt and registers"
        raise UsageError("--dt, --register, --if-step", reason, "Drop them")
    _check_files(args)
    floors = [Floor.parse(text) for text in args.floor]
    check_required(args.require_coverage, verified=True)
    request = Request(
        networks=networks,
        backend_names=backend_names(args.backend, []),
        anns=args.ann,
        data=DataRequest(args.data, args.encoding, args.samples, args.skip_bad, args.data_param),
        reproduce=[_command()],
        reading=NirReading(args.dt, registers_of(args), args.if_step),
        weight_bits=weight_bits_of(args),
        energy_models=args.energy_model,
        cross_technology=args.cross_technology,
        sweeps=[Sweep.parse(text) for text in args.sweep],
        measure=None if args.measure_energy is None else Plan(window_s=args.measure_energy),
    )
    outcome = run_benchmark(request, report_progress)
    write_reports(outcome, args)
    code = _verdict(outcome, every="all" in (args.backend or []))
    if any([floor.misses(outcome.results) for floor in floors]):  # noqa: C419 - name every miss
        code = 1
    if rows_lack(outcome.results, args.require_coverage):
        code = 1
    if args.measure_energy is not None and _unmeasured(outcome.results):
        code = 1
    if args.json and not args.html:
        print(f"next: spikeport report {args.json} --html report.html")
    elif not args.json:
        print("next: add --json results.json --html report.html to keep this")
    return code


def write_reports(outcome: Outcome, args: argparse.Namespace) -> None:
    """Print the table, write the files asked for, and show tracebacks of failed rows on request."""
    from spikeport.benchmarks.report import print_table, write_html
    from spikeport.benchmarks.results import write_results

    end_progress()
    print_table(outcome.results)
    if os.environ.get("SPIKEPORT_DEBUG"):
        for row, trace in outcome.traces.items():
            print(f"{row}:\n{trace}", file=sys.stderr)
    if args.json:
        write_results(outcome.results, args.json)
        print(f"results: {args.json}")
    if args.html:
        write_html(outcome.results, args.html)
        print(f"report: {args.html}")


def _check_files(args: argparse.Namespace) -> None:
    """Raise for an energy model of the user's own that is not there; a name without a suffix is told elsewhere."""
    for path in args.energy_model:
        if path.suffix in (".yaml", ".yml") and not path.is_file():
            fix = "Name the YAML file of your own model; those of `spikeport list energy-models` are always shown"
            raise UsageError(f"--energy-model {path}", "there is no such file", fix)


def _verdict(outcome: Outcome, every: bool) -> int:
    """Return 1 where a requested row failed; with `all`, what this machine lacks is no failure."""
    from spikeport.benchmarks.results import RAN_AS_DECLARED

    excused = {"unavailable", "unsupported"} if every else set()
    fine = {*RAN_AS_DECLARED, *excused}
    bad = [row for row in outcome.results.rows if row.status not in fine]
    for row in bad:
        print(f"failed: {row.id} is {row.status}: {row.reason}", file=sys.stderr)
    return 1 if bad else 0


def _unmeasured(results: Results) -> bool:
    """Return whether joules that were asked for are missing, and say why."""
    missed = [row for row in results.rows if row.kind != "backend" and row.measured is None]
    for row in missed:
        print(f"failed: {row.id}: no joules: {row.missing['measured']}", file=sys.stderr)
    if all(row.kind == "backend" for row in results.rows):
        print("failed: no joules: they are measured of runs, and none is named", file=sys.stderr)
        return True
    return bool(missed)


def _command() -> str:
    return shlex.join(["spikeport", *sys.argv[1:]])
