"""Accuracy of the demo's network at fewer bits on Loihi's integers, quantised after training and trained for it.

`python -m spikeport.benchmarks.weight_bits --out runs/bits` trains `av-digits` at each noise, runs it on the backend
`loihi` with weights of 8 bits and fewer, fine-tunes it for the same bits (`av-digits-qat`) and runs that. Scales are
chosen by validation samples, accuracies are those of the 1,000 test pairs, differences are paired with the float
network. What an earlier run left in the folder is used again.

Shape suffixes: T time steps, N samples.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.benchmarks.bundling import export_run
from spikeport.benchmarks.statistics import Paired, paired_difference
from spikeport.deploy import backends
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.pipeline import lower_network, run_network, scores
from spikeport.deploy.quantised import with_weight_bits
from spikeport.errors import SpikeportError
from spikeport.export.stages import StagedNetwork
from spikeport.train.datasets.base import Part
from spikeport.train.recipe import Recipe, load_recipe
from spikeport.train.run import Run, train_run
from spikeport.train.samples import encoded_inputs, open_dataset

CALIBRATION = 64
Right = NDArray[np.bool_]
Inputs = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Score:
    """One network at one width.

    Attributes:
        noise: in standard deviations of each feature.
        bits: of the weights.
        how: `float`, `after` training or `in` training.
        accuracy: on the test part.
        against: the difference from the float network, `None` for that itself.
    """

    noise: float
    bits: int | None
    how: str
    accuracy: float
    against: Paired | None


def measure(out: Path, noises: Sequence[float], widths: Sequence[int], settings: Sequence[str] = ()) -> Iterator[Score]:
    """Train, quantise and score in every combination; `settings` override keys of both recipes."""
    for noise in noises:
        levels = [f"data.noise.image={noise}", f"data.noise.audio={noise}", *settings]
        trained = train_run(load_recipe("av-digits", levels), out / f"float-{noise}", resume=True)
        float_N = right_answers(trained, None)
        yield Score(noise, None, "float", float(float_N.mean()), None)
        for bits in widths:
            begun = [*levels, f"start_from={trained.path}", f"quantisation.weight_bits={bits}"]
            tuned = train_run(load_recipe("av-digits-qat", begun), out / f"tuned-{noise}-{bits}", resume=True)
            for how, run in {"after": trained, "in": tuned}.items():
                right_N = right_answers(run, bits)
                yield Score(noise, bits, how, float(right_N.mean()), paired_difference(right_N, float_N))


def right_answers(run: Run, bits: int | None) -> Right:
    """Return which test samples the exported network gets right: on `loihi`, or in float for `None`."""
    with tempfile.TemporaryDirectory(prefix="spikeport-") as scratch:
        network = export_run(run, Path(scratch) / "net.bundle").network
        backend = backends.get("reference" if bits is None else "loihi")
        chosen = with_weight_bits(backend, None if bits is None else WeightBits(bits))
        seen, _ = _samples(run.recipe, network, "val", CALIBRATION)
        programs = lower_network(network, chosen, seen)
        inputs, labels_N = _samples(run.recipe, network, "test", None)
        right: Right = scores(run_network(network, programs, inputs), network).argmax(1) == labels_N
    return right


def _samples(recipe: Recipe, network: StagedNetwork, part: Part, limit: int | None) -> tuple[Inputs, NDArray[np.int64]]:
    raw = open_dataset(recipe).split(part).take(slice(limit))
    encoded = encoded_inputs(recipe, raw, tuple(network.inputs), recipe.data.split_seed)
    return {name: x.numpy() for name, x in encoded.items()}, raw.labels


def table(found: Sequence[Score]) -> str:
    """Return the scores as Markdown: a line a noise and width, both ways of quantising side by side."""
    lines = ["| noise | bits | quantised after training | difference, 95 % | trained for it | difference, 95 % |"]
    lines += ["|---|---|---|---|---|---|"]
    by = {(s.noise, s.bits, s.how): s for s in found}
    for noise, bits in dict.fromkeys((s.noise, s.bits) for s in found):
        if bits is None:
            lines.append(f"| {noise} | float | {by[noise, None, 'float'].accuracy:.4f} | | | |")
        else:
            cells = " | ".join(_cells(by[noise, bits, how]) for how in ("after", "in"))
            lines.append(f"| {noise} | {bits} | {cells} |")
    return "\n".join(lines)


def _cells(score: Score) -> str:
    assert score.against is not None
    low, high = score.against.ci95
    return f"{score.accuracy:.4f} | {score.against.difference:+.4f} ({low:+.4f} to {high:+.4f})"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m spikeport.benchmarks.weight_bits", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bits"), metavar="DIR", help="where the runs go")
    parser.add_argument("--noise", type=float, action="append", metavar="X", help="default: 0 and 0.5")
    parser.add_argument("--bits", type=int, action="append", metavar="N", help="default: 8, 6, 4, 3, 2 and 1")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override a key of the recipes")
    args = parser.parse_args(argv)
    found = []
    try:
        for score in measure(args.out, args.noise or [0.0, 0.5], args.bits or [8, 6, 4, 3, 2, 1], args.set):
            found.append(score)
            sys.stderr.write(f"noise {score.noise}, {score.bits} bits, {score.how}: {score.accuracy:.4f}\n")
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    n = next((s.against.n for s in found if s.against), 0)
    sys.stdout.write(f"{n} test pairs; the same for every figure\n\n{table(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
