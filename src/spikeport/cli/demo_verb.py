"""`spikeport demo`: train, export, deploy and benchmark, on real audio-visual digits."""

from __future__ import annotations

import argparse
import time
from argparse import Namespace
from pathlib import Path

from spikeport.cli.bench_verb import write_reports
from spikeport.cli.sources import backend_names
from spikeport.cli.telling import report_progress

RECIPE = "av-digits"
# Noise of one standard deviation on both inputs, and three epochs fewer than the recipe has.
SETTINGS = ("data.noise.image=1.0", "data.noise.audio=1.0", "training.epochs=5")


def run(args: argparse.Namespace) -> int:
    """Run the whole path; pieces that an earlier demo finished in the same folder are used again."""
    from spikeport.benchmarks.runner import Request, run_benchmark
    from spikeport.benchmarks.samples import DataRequest

    start = time.monotonic()
    out: Path = args.out
    names = backend_names(args.backend, ["all"])
    snn = _train(out / "runs" / "av-digits", [])
    ann = _train(out / "runs" / "av-digits-ann", ["kind=ann"])
    bundle = _export(snn, out / "av-digits.bundle")
    _say(f"running the same {args.samples} test samples on snntorch, the ANN twin, {', '.join(names)}")
    request = Request(
        [snn], names, [ann], DataRequest(limit=args.samples), _commands(snn, ann, bundle, args.samples), bundle
    )
    outcome = run_benchmark(request, report_progress)
    write_reports(outcome, Namespace(json=out / "results.json", html=out / "report.html"))
    print(f"the whole path took {time.monotonic() - start:.0f} s")
    print(f"next: open {out / 'report.html'}, or try: spikeport deploy {bundle} --backend lava-float")
    return 1 if any(row.status in ("failed", "mismatch") for row in outcome.results.rows) else 0


def _train(out: Path, extra: list[str]) -> Path:
    from spikeport.train.recipe import load_recipe
    from spikeport.train.run import train_run

    recipe = load_recipe(RECIPE, [*SETTINGS, *extra])
    done = (out / "weights.safetensors").is_file()
    _say(f"{'found' if done else 'training'} {out} ({recipe.kind}, noise of one standard deviation on both inputs)")
    train_run(recipe, out, "auto", resume=True)
    return out


def _export(run: Path, out: Path) -> Path:
    from spikeport.benchmarks.bundling import export_run
    from spikeport.export.bundle import Bundle
    from spikeport.export.coverage import lines
    from spikeport.train.run import load_run

    if out.exists():
        Bundle.open(out)
        _say(f"found {out}")
        return out
    proof = export_run(load_run(run), out).manifest.verification
    _say(f"exported {out}: {proof.entries} entries of every neuron equal snnTorch's, {proof.ties} ties")
    if proof.coverage is not None:
        _say("\n".join(lines(proof.coverage)))
    return out


def _commands(snn: Path, ann: Path, bundle: Path, samples: int) -> list[str]:
    settings = " ".join(f"--set {x}" for x in SETTINGS)
    return [
        f"spikeport train {RECIPE} {settings} --out {snn}",
        f"spikeport train {RECIPE} {settings} --set kind=ann --out {ann}",
        f"spikeport export {snn} --out {bundle}",
        f"spikeport bench {snn} --ann {ann} --backend all --samples {samples} --json results.json --html report.html",
    ]


def _say(text: str) -> None:
    print(text, flush=True)
