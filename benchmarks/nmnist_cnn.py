"""Accuracy of a bare NIR network on all N-MNIST recordings at hand, under hard and under soft reset or on backends.

`python -m spikeport.benchmarks.nmnist_cnn cnn_sinabs.nir --data NMNIST` scores the CNN of the NIR paper in the
reference interpreter: once as its file says (an IF's membrane is set to v_reset), once with reset by subtraction
(`export/resets.py`), on the same recordings. With `--backend loihi` the second is the file on that backend,
calibrated on some of the recordings without their labels. The scores are the last layer's spikes, summed over time.

Shape suffixes: T time steps, N samples, K classes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.benchmarks.statistics import paired_difference, wilson
from spikeport.deploy import backends
from spikeport.deploy.backend import Backend, Program
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.quantised import with_weight_bits
from spikeport.errors import ArtefactError, SpikeportError, UsageError
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import Interpreter
from spikeport.export.resets import with_soft_reset
from spikeport.export.stages import network_of_nir
from spikeport.train.checks import validated
from spikeport.train.datasets.base import Split
from spikeport.train.datasets.nmnist import NMnistData, read_split, recordings

CALIBRATION = 50
"""Recordings that integer scales are chosen by."""
IN_SAMPLE = "in-sample: the network was trained on N-MNIST's Train folder, where these recordings are from"


@dataclass(frozen=True)
class Scores:
    """Spikes of the last layer summed over time, [N, K], for each variant of the network, with the labels."""

    by_variant: dict[str, NDArray[np.float64]]
    labels_N: NDArray[np.int64]
    skipped: int


Summed = Callable[[Split], NDArray[np.float64]]
"""A variant of the network: what its last layer's spikes sum to."""


def resets(graph: ChipGraph) -> dict[str, Summed]:
    """Return `graph` as it is and its soft-reset form, in the reference interpreter.

    Raises:
        UsageError: the network does not take one [2, 34, 34] input a step and give one spike vector.
    """
    _check_fit(graph)
    return {"hard": partial(_summed, graph), "soft": partial(_summed, with_soft_reset(graph))}


def on_backends(graph: ChipGraph, data: NMnistData, chosen: Mapping[str, Backend]) -> dict[str, Summed]:
    """Return `graph` in the reference interpreter and on backends, calibrated on recordings spread over all digits.

    Raises:
        UnfaithfulError: a backend refuses the network.
        UsageError: as for `resets`.
    """
    _check_fit(graph)
    everything = recordings(data.folder / "Train", data.per_class)
    rows = np.linspace(0, len(everything.paths) - 1, min(CALIBRATION, len(everything.paths))).round().astype(np.int64)
    calibration = {graph.inputs[0]: read_split(everything.take(rows), data).inputs["events"].swapaxes(0, 1)}
    programs = {name: backend.lower(graph, calibration) for name, backend in chosen.items()}
    return {"hard": partial(_summed, graph), **{n: partial(_run, graph, p) for n, p in programs.items()}}


def score(variants: Mapping[str, Summed], data: NMnistData, batch: int, progress: Callable[[int], None]) -> Scores:
    """Score all variants on the same recordings; at most `batch` of them are in memory at once.

    Raises:
        ArtefactError: a recording is unreadable.
    """
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in variants}
    labels: list[NDArray[np.int64]] = []
    skipped = 0
    for split in _batches(data, batch):
        if len(split):
            for name, summed in variants.items():
                found[name].append(summed(split))
        labels.append(split.labels)
        skipped += split.skipped
        progress(sum(map(len, labels)))
    if not any(map(len, labels)):
        raise ArtefactError(str(data.folder), "no recording is left", "Repair the files")
    return Scores({name: np.concatenate(parts) for name, parts in found.items()}, np.concatenate(labels), skipped)


def _batches(data: NMnistData, batch: int) -> Iterator[Split]:
    chosen = recordings(data.folder / "Train", data.per_class)
    for start in range(0, len(chosen.paths), batch):
        rows = np.arange(start, min(start + batch, len(chosen.paths)))
        yield read_split(chosen.take(rows), data)


def _summed(graph: ChipGraph, split: Split) -> NDArray[np.float64]:
    """Run the samples step by step, keeping the sum of the output alone."""
    interpreter = Interpreter(graph)
    interpreter.reset(len(split))
    total = np.zeros((len(split), *graph.shapes[graph.outputs[0]]))
    for x_N in split.inputs["events"].swapaxes(0, 1):
        total += interpreter.step({graph.inputs[0]: x_N.astype(np.float64)})[graph.outputs[0]]
    return total


def _run(graph: ChipGraph, program: Program, split: Split) -> NDArray[np.float64]:
    recording = program.run({graph.inputs[0]: split.inputs["events"].swapaxes(0, 1)})
    total: NDArray[np.float64] = recording.aligned(graph.outputs[0]).sum(0, dtype=np.float64)
    return total


def _check_fit(graph: ChipGraph) -> None:
    shapes = [graph.shapes[name] for name in graph.inputs], [len(graph.shapes[name]) for name in graph.outputs]
    if shapes != ([(2, 34, 34)], [1]):
        reason = f"its inputs have shapes {shapes[0]}, and it has {len(graph.outputs)} outputs"
        raise UsageError("the network", reason, "Name one that takes [2, 34, 34] and answers with one vector")


def report(scores: Scores) -> str:
    """Return the accuracies with Wilson's 95 % intervals, and their paired differences from the first."""
    n = len(scores.labels_N)
    right = {name: y_NK.argmax(1) == scores.labels_N for name, y_NK in scores.by_variant.items()}
    lines = [f"{n} recordings ({scores.skipped} unreadable ones skipped); {IN_SAMPLE}", ""]
    lines += ["| variant | right | accuracy | 95 % (Wilson) | tied for the top score |", "|---|---|---|---|---|"]
    for name, right_N in right.items():
        count = int(right_N.sum())
        low, high = wilson(count, n)
        best_NK = scores.by_variant[name] == scores.by_variant[name].max(1, keepdims=True)
        ties = int((best_NK.sum(1) > 1).sum())
        lines.append(f"| {name} | {count} of {n} | {count / n:.4f} | {low:.4f} to {high:.4f} | {ties} |")
    first, *others = right
    for name in others:
        paired = paired_difference(right[name], right[first])
        low, high = paired.ci95
        lines += ["", f"{name} - {first}: {paired.difference:+.4f}, 95 % {low:+.4f} to {high:+.4f} (Newcombe, paired)"]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m spikeport.benchmarks.nmnist_cnn", description=__doc__)
    parser.add_argument("network", type=Path, metavar="FILE.nir")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="N-MNIST's folder, which holds Train")
    parser.add_argument("--dt", type=float, default=1e-3, metavar="S", help="time step and bin, seconds (default 1e-3)")
    parser.add_argument("--per-class", type=int, metavar="N", help="the first N recordings of each digit (default all)")
    parser.add_argument("--batch", type=int, default=25, metavar="N", help="recordings in memory (default 25)")
    parser.add_argument("--backend", action="append", metavar="NAME", help="compare with these, not with soft reset")
    parser.add_argument("--weight-bits", metavar="N|N,LAYER=N", help="where a backend quantises (default 8)")
    parser.add_argument("--skip-bad", action="store_true", help="skip and count unreadable recordings")
    args = parser.parse_args(argv)
    try:
        graph = network_of_nir(args.network, args.dt).chips[0].graph
        settings = {"folder": str(args.data), "per_class": args.per_class, "skip_bad": args.skip_bad}
        data = validated(NMnistData, {**settings, "bin_us": round(1e6 * args.dt)}, "data")
        bits = None if args.weight_bits is None else WeightBits.parse(args.weight_bits)
        chosen = {name: with_weight_bits(backends.get(name), bits) for name in args.backend or []}
        variants = on_backends(graph, data, chosen) if chosen else resets(graph)
        scores = score(variants, data, max(1, args.batch), _progress)
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(report(scores) + "\n")
    return 0


def _progress(done: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} recordings")


if __name__ == "__main__":
    sys.exit(main())
