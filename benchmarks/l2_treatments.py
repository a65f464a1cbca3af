"""What each treatment of the L2 layer costs: `python -m spikeport.benchmarks.l2_treatments RUN [--out DIR]`.

Every treatment that the run's network allows (`spikeport.models.l2act.treat`) is scored on the test part, its constants
being measured on the training part. With `--out`, each is exported too, as `DIR/<treatment>.bundle`: `spikeport bench`
of those says which share of the operations is on the chip, and runs them on backends.

Shape suffixes: N samples.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from spikeport.benchmarks.bundling import export_run
from spikeport.benchmarks.statistics import wilson
from spikeport.errors import SpikeportError, UsageError
from spikeport.files import refuse_existing
from spikeport.models.l2act.treat import Treated, Treatment, treat
from spikeport.models.network import SpikingNetwork
from spikeport.train.datasets.base import Split
from spikeport.train.evaluate import network_logits
from spikeport.train.run import Run, load_run
from spikeport.train.samples import encoded_inputs, open_dataset

TREATMENTS: tuple[Treatment, ...] = ("host", "drop", "constant")


@dataclass(frozen=True)
class Compared:
    """One treatment on the test part.

    Attributes:
        treated: the network.
        right: how many answers are right, of `samples`.
        same: how many are those of the network as it was trained.
        samples: of the test part.
    """

    treated: Treated
    right: int
    same: int
    samples: int


def compare(run: Run, calibration: int = 500) -> tuple[list[Compared], dict[Treatment, str]]:
    """Return every treatment that `run` allows, and why it allows no other.

    Args:
        run: of a spiking `l2-actspikenet`.
        calibration: training samples on which the constants are measured.

    Raises:
        UsageError: the run's network has no L2 layer.
    """
    network = run.network
    if not isinstance(network, SpikingNetwork):
        raise UsageError(str(run.path), "it is an ANN's run", "Name the SNN's run")
    # It fails where there is no L2 layer, so that every treatment would.
    treat(network, "auto")
    dataset = open_dataset(run.recipe)
    some = dataset.split("train").take(slice(calibration))
    samples = encoded_inputs(run.recipe, some, network.input_names, run.recipe.data.split_seed)
    test = dataset.split("test")
    labels_N = torch.from_numpy(test.labels)
    trained_N = _answers(network, run, test)
    found, refused = [], {}
    for how in TREATMENTS:
        try:
            treated = treat(network, how, samples)
        except UsageError as error:
            refused[how] = error.reason
            continue
        answers_N = _answers(treated.network, run, test)
        right, same = int((answers_N == labels_N).sum()), int((answers_N == trained_N).sum())
        found.append(Compared(treated, right, same, len(labels_N)))
    return found, refused


def _answers(network: SpikingNetwork, run: Run, test: Split) -> Tensor:
    return network_logits(network, run.recipe, test).argmax(1)


def markdown(found: Sequence[Compared], refused: Mapping[Treatment, str]) -> str:
    """Return the comparison as a Markdown table, then what was refused and why."""
    lines = [
        "| treatment | test accuracy % (95 %) | answers as trained % | segments | why |",
        "|---|---:|---:|---|---|",
    ]
    for one in found:
        low, high = wilson(one.right, one.samples)
        accuracy = f"{100 * one.right / one.samples:.2f} ({100 * low:.2f} to {100 * high:.2f})"
        segments = ", ".join(segment.name for segment in one.treated.network.segments)
        same = f"{100 * one.same / one.samples:.2f}"
        lines.append(f"| {one.treated.how} | {accuracy} | {same} | {segments} | {one.treated.reason} |")
    lines += ["", *(f"{how}: refused, {reason}." for how, reason in refused.items())]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the treatments of the run named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, metavar="DIR", help="export each treated network to this new folder")
    args = parser.parse_args(arguments)
    try:
        if args.out:
            refuse_existing(args.out)
        run = load_run(args.run)
        found, refused = compare(run)
        for one in found if args.out else ():
            export_run(replace(run, network=one.treated.network), args.out / f"{one.treated.how}.bundle")
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(markdown(found, refused))
    return 0


if __name__ == "__main__":
    sys.exit(main())
