"""Accuracy, throughput and joules per sample of a spiking network and its ANNs on one GPU, at two batch sizes.

`python -m spikeport.benchmarks.gpu_run runs/av-digits --ann runs/av-digits-ann --out benchmarks/results/h200.json`
scores every network on the test part of its recipe, times it, and reads the GPU's energy counter, all in one process
on one device. What cannot be read is null, with the reason. `--device cpu` does the same with the CPU's counter.

Shape suffixes: N samples, K classes.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import spikeport
from spikeport.benchmarks import blocks
from spikeport.benchmarks.measured.meter import BATCHES, Meter
from spikeport.benchmarks.measured.windows import Plan
from spikeport.benchmarks.named_data import about_dataset
from spikeport.benchmarks.report import print_table
from spikeport.benchmarks.results import Results, Row, write_results
from spikeport.benchmarks.statistics import wilson
from spikeport.benchmarks.timing import timing
from spikeport.errors import SpikeportError, UnavailableError
from spikeport.models.network import SpikingNetwork
from spikeport.provenance import git_hash, machine, processor, versions
from spikeport.train.loop import resolve_device
from spikeport.train.run import Run, load_run
from spikeport.train.samples import equivalent, network_inputs, open_dataset

ELSEWHERE = "not part of this measurement: `spikeport bench` counts and audits"
UNKNOWN = ("coverage", "agreement", "counts", "energy", "footprint", "discrimination")
PACKAGES = ("torch", "snntorch", "numpy", "nvidia-ml-py")


@dataclass(frozen=True)
class Scores:
    """What one network answered, and how fast.

    Attributes:
        answers_N: the predicted classes.
        labels_N: the right ones.
        seconds: for all samples, the device waited for; encoding not in it.
    """

    answers_N: NDArray[np.int64]
    labels_N: NDArray[np.int64]
    seconds: float


def measure_runs(paths: Sequence[Path], meter: Meter, limit: int | None, command: str) -> Results:
    """Return one row for each network and batch size."""
    rows = [row for path in paths for row in _rows(load_run(path), meter, limit)]
    return Results(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        spikeport=spikeport.__version__,
        git=git_hash(),
        environment=machine() | {k: str(v) for k, v in processor().items()} | versions(PACKAGES) | _gpu(meter.device),
        title=f"On {_gpu(meter.device).get('gpu', 'the CPU')}",
        rows=tuple(rows),
        reproduce=(command,),
    )


def _rows(run: Run, meter: Meter, limit: int | None) -> Iterator[Row]:
    split = open_dataset(run.recipe).split("test").take(slice(limit))
    encoded = network_inputs(run.recipe, run.network, split, run.recipe.data.split_seed)
    inputs = {name: x.to(meter.device) for name, x in encoded.items()}
    run.network.to(meter.device)
    for batch in dict.fromkeys(min(b, len(split)) for b in meter.batches):
        scores = _score(run, inputs, split.labels, batch, meter.settle)
        row = Row(**_fields(run, scores, batch, meter.device), dataset=about_dataset(run.recipe.data.name, split))
        yield Meter(meter.device, meter.counter, meter.reason, meter.plan, (batch,)).metered(row, run.network, inputs)
    run.network.to("cpu")


def _score(
    run: Run, inputs: Mapping[str, Tensor], labels_N: NDArray[np.int64], batch: int, settle: Callable[[], None]
) -> Scores:
    axis = 1 if isinstance(run.network, SpikingNetwork) else 0
    starts = range(0, len(labels_N), batch)
    parts = [
        {name: x.narrow(axis, start, min(batch, len(labels_N) - start)) for name, x in inputs.items()}
        for start in starts
    ]
    with torch.no_grad():
        run.network(parts[0])
        settle()
        start = time.perf_counter()
        logits = [run.network(part) for part in parts]
        settle()
        seconds = time.perf_counter() - start
    return Scores(torch.cat(logits).argmax(1).cpu().numpy(), labels_N, seconds)


def _fields(run: Run, scores: Scores, batch: int, device: str) -> dict[str, Any]:
    recipe, n = run.recipe, len(scores.labels_N)
    right = int((scores.answers_N == scores.labels_N).sum())
    return {
        "id": f"{run.path.resolve().name}/{recipe.kind}@{device},batch={batch}",
        "name": recipe.kind,
        "kind": recipe.kind,
        "twin": equivalent(recipe).describe() if recipe.kind == "ann" else None,
        "model": recipe.model.name,
        "bundle": None,
        "seed": recipe.seed,
        "condition": {f"noise.{k}": v for k, v in recipe.data.noise.items()} | {"device": device, "batch": batch},
        "dt_s": recipe.dt_s,
        "timesteps": recipe.timesteps,
        "status": "ok",
        "reason": None,
        "accuracy": blocks.Accuracy(value=right / n, n=n, ci95=wilson(right, n)),
        "coverage": None,
        "agreement": None,
        "stages": (),
        "counts": None,
        "energy": (),
        "measured": None,
        "timing": timing([scores.seconds], n, batch),
        "missing": dict.fromkeys(UNKNOWN, ELSEWHERE) | {"measured": "not read yet"},
    }


def _gpu(device: str) -> dict[str, str]:
    if device != "cuda":
        return {}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {"gpu": properties.name, "gpu_memory": f"{properties.total_memory // 2**20} MiB"}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write; 1 where something that was asked for could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m spikeport.benchmarks.gpu_run", description=__doc__)
    parser.add_argument("network", type=Path, metavar="RUN", help="the spiking network's run")
    parser.add_argument("--ann", type=Path, action="append", default=[], metavar="RUN", help="an ANN's run")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batch", type=int, action="append", metavar="N", help="batch sizes (default: 1 and 256)")
    parser.add_argument("--window", type=float, default=5.0, metavar="SECONDS", help="of one window (default: 5)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="windows each (default: 5)")
    parser.add_argument("--samples", type=int, metavar="N", help="the first N test samples (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write results.json here")
    args = parser.parse_args(argv)
    command = shlex.join(["python", "-m", "spikeport.benchmarks.gpu_run", *(sys.argv[1:] if argv is None else argv)])
    try:
        meter = Meter.open(resolve_device(args.device), Plan(args.window, args.repeats), args.batch or BATCHES)
        results = measure_runs([args.network, *args.ann], meter, args.samples, command)
        if args.out:
            write_results(results, args.out)
    except SpikeportError as error:
        hint = "; --device cpu measures here" if isinstance(error, UnavailableError) else ""
        print(f"gpu_run: error: {error}{hint}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    print_table(results)
    for row in results.rows:
        if row.measured is None:
            print(f"no joules: {row.id}: {row.missing['measured']}", file=sys.stderr)  # noqa: T201
    return 0 if all(row.measured for row in results.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
