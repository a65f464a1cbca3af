"""What each treatment of the L2 layer costs: `python -m spikeport.benchmarks.l2_treatments RUN [--out DIR]`.

Every treatment that the run's network allows (`spikeport.models.l2act.treat`) is scored on the test part, its constants
being measured on the training part, and exported, verified; the share of the operations that is on the chip is counted
on the first test samples. With `--out`, the bundles stay, as `DIR/<treatment>.bundle`: `spikeport bench` runs those on
backends.

Shape suffixes: N samples.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from spikeport.benchmarks.bundling import export_deployed
from spikeport.benchmarks.energy import with_own
from spikeport.benchmarks.l2_deployment import Deployed, L2Record, deployed
from spikeport.benchmarks.report.markdown import document
from spikeport.benchmarks.report.tables import Table
from spikeport.benchmarks.rows import snn_row
from spikeport.benchmarks.samples import DataRequest, load_samples
from spikeport.benchmarks.statistics import wilson
from spikeport.benchmarks.subject import of_bundle
from spikeport.errors import SpikeportError, UsageError
from spikeport.export.bundle import Bundle
from spikeport.export.stages import ChipStage
from spikeport.files import refuse_existing
from spikeport.models.l2act.treat import Treatment
from spikeport.train.datasets.base import Split
from spikeport.train.evaluate import network_logits
from spikeport.train.run import Run, load_run
from spikeport.train.samples import open_dataset

TREATMENTS: tuple[Treatment, ...] = ("host", "drop", "constant")
COUNTED = 64
HEADER = (
    "treatment",
    "stages, chip in bold",
    "test accuracy % (95 %)",
    "answers as trained %",
    "on chip: operations %",
)


@dataclass(frozen=True)
class Compared:
    """One treatment on the test part.

    Attributes:
        record: which, and why.
        stages: of its bundle, in order, each with whether it is on the chip.
        on_chip: share of its operations that are in chip stages.
        right: how many answers are right, of `samples`.
        same: how many are those of the network as it was trained.
        samples: of the test part.
    """

    record: L2Record
    stages: Mapping[str, bool]
    on_chip: float
    right: int
    same: int
    samples: int


@dataclass(frozen=True)
class Comparison:
    """All treatments of a run.

    Attributes:
        found: those that its network allows.
        refused: why it allows no other.
        auto: what `spikeport export` takes unless told.
    """

    found: Sequence[Compared]
    refused: Mapping[Treatment, str]
    auto: L2Record


def compare(run: Run, out: Path) -> Comparison:
    """Score and export every treatment that `run` allows.

    Args:
        run: of a spiking `l2-actspikenet`.
        out: a folder for the bundles.

    Raises:
        UsageError: the run's network has no L2 layer.
    """
    # It fails where there is no L2 layer, so that every treatment would.
    auto = deployed(run, "auto").l2
    assert auto is not None
    test = open_dataset(run.recipe).split("test")
    trained_N = network_logits(run.network, run.recipe, test).argmax(1)
    found, refused = [], {}
    for how in TREATMENTS:
        try:
            form = deployed(run, how)
        except UsageError as error:
            refused[how] = error.reason
            continue
        found.append(_compared(run, form, test, trained_N, out / f"{how}.bundle"))
    return Comparison(found, refused, auto)


def _compared(run: Run, form: Deployed, test: Split, trained_N: Tensor, place: Path) -> Compared:
    assert form.l2 is not None
    labels_N = torch.from_numpy(test.labels)
    answers_N = network_logits(form.network, run.recipe, test).argmax(1)
    right, same = int((answers_N == labels_N).sum()), int((answers_N == trained_N).sum())
    bundle = export_deployed(run, form, place)
    stages = {stage.name: isinstance(stage, ChipStage) for stage in bundle.network.stages}
    return Compared(form.l2, stages, _on_chip(form, bundle), right, same, len(labels_N))


def _on_chip(form: Deployed, bundle: Bundle) -> float:
    subject = replace(of_bundle("net", bundle), network=form.network)
    few = DataRequest(limit=COUNTED)
    samples = load_samples(few, subject.recipe, subject.shapes, subject.timesteps, subject.classes)
    shares = snn_row(subject, samples, with_own([])).row.stages
    return sum(stage.share_of_ops or 0.0 for stage in shares if stage.kind == "chip")


def markdown(comparison: Comparison) -> str:
    """Return the comparison as a Markdown table, then what was refused and why."""
    table = Table(HEADER, tuple(map(_line, comparison.found)), text_columns=2)
    reasons = [
        *(f"{one.record.treatment}: {one.record.reason}." for one in comparison.found),
        *(f"{how}: refused, {reason}." for how, reason in comparison.refused.items()),
        f"auto takes {comparison.auto.treatment}: {comparison.auto.reason}.",
    ]
    return document([table, reasons])


def _line(one: Compared) -> tuple[str, ...]:
    low, high = wilson(one.right, one.samples)
    accuracy = f"{100 * one.right / one.samples:.2f} ({100 * low:.2f} to {100 * high:.2f})"
    stages = ", ".join(f"**{name}**" if chip else name for name, chip in one.stages.items())
    same = f"{100 * one.same / one.samples:.2f}"
    return one.record.treatment, stages, accuracy, same, f"{100 * one.on_chip:.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the treatments of the run named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the bundles in this new folder")
    args = parser.parse_args(arguments)
    try:
        if args.out:
            refuse_existing(args.out)
        with tempfile.TemporaryDirectory(prefix="spikeport-") as scratch:
            comparison = compare(load_run(args.run), args.out or Path(scratch))
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(markdown(comparison))
    return 0


if __name__ == "__main__":
    sys.exit(main())
