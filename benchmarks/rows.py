"""One row each: the ANN twin, the snnTorch network, a backend. All are scored on the same samples.

Shape suffixes: T time steps, N samples, K classes.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikeport.benchmarks import blocks
from spikeport.benchmarks.audited import agreement_block, audit_verdict
from spikeport.benchmarks.counting.ann import count_ann
from spikeport.benchmarks.counting.crossings import count_crossings
from spikeport.benchmarks.counting.footprint import footprint
from spikeport.benchmarks.counting.layers import AnnCounts
from spikeport.benchmarks.counting.network import NetworkCounts, ann_block, snn_block, stage_shares
from spikeport.benchmarks.counting.stage import count_stage
from spikeport.benchmarks.embeddings import embeddings
from spikeport.benchmarks.energy.estimate import energy_rows
from spikeport.benchmarks.energy.model import EnergyModel
from spikeport.benchmarks.results import Row, Status
from spikeport.benchmarks.samples import Samples
from spikeport.benchmarks.statistics import wilson
from spikeport.benchmarks.subject import Subject
from spikeport.benchmarks.timing import timed
from spikeport.benchmarks.twins import ann_id, unlike
from spikeport.deploy.backend import Backend
from spikeport.deploy.deployment import audit_run, cover_run
from spikeport.deploy.mapped import by_chip, map_programs
from spikeport.deploy.pipeline import NetworkRun, lower_network, run_network, scores
from spikeport.deploy.quantised import by_layer, losses_of, told_bits
from spikeport.errors import SpikeportError, UnavailableError, UnfaithfulError, UsageError
from spikeport.export.segments import draft_network
from spikeport.models.network import SpikingNetwork
from spikeport.models.twin import Twin
from spikeport.train.run import Run
from spikeport.train.samples import equivalent

NOT_STORED = "a backend stores the network in its own form; the row of the torch network has its footprint"
NOT_EMBEDDED = "embeddings are measured of a run's snnTorch network alone"
NOT_MEASURED = "joules were not measured: no counter was asked for"
NOT_HERE = {"measured": NOT_MEASURED, "footprint": NOT_STORED, "discrimination": NOT_EMBEDDED}
CALIBRATION_SAMPLES = 64


@dataclass(frozen=True)
class Scored:
    """A row with what later comparisons need of it.

    Attributes:
        row: the row.
        answers_N: the predicted classes, `None` where nothing ran.
        counts: for energy comparisons.
        run: the recordings, for the example.
        trace: the traceback of a row that failed.
        network: the torch network that ran, `None` for a backend.
    """

    row: Row
    answers_N: NDArray[np.int64] | None = None
    counts: NetworkCounts | AnnCounts | None = None
    run: NetworkRun | None = None
    trace: str | None = field(default=None, compare=False)
    network: SpikingNetwork | Twin | None = field(default=None, compare=False)


def ann_row(twin: Run, subject: Subject, samples: Samples, models: Sequence[EnergyModel]) -> Scored:
    """Score the ANN twin of `subject`, one of `open_twins`.

    Raises:
        UsageError: the samples are encoded.
    """
    network = twin.network
    assert isinstance(network, Twin)
    inputs = network_inputs(network, samples)
    n = len(samples.labels_N)
    with torch.no_grad():
        logits_NK, took = timed(lambda: network(inputs), n)
    counts = count_ann(network, lambda: network(inputs), n)
    predicted_N = logits_NK.argmax(1).numpy()
    row = Row(
        **_about(subject, samples, "ann", "ann", twin.recipe.seed) | {"id": ann_id(twin, subject)},
        twin=equivalent(twin.recipe).describe(),
        **_unaudited(predicted_N, samples) | {"reason": unlike(twin, subject)},
        counts=ann_block(counts),
        energy=energy_rows(counts, models),
        measured=None,
        timing=took,
        missing={"agreement": "the ANN is another network", "coverage": "an ANN has no spikes", **NOT_HERE},
    )
    row = _with(row, "footprint", _footprint(network, n))
    return Scored(row, predicted_N, counts, network=network)


def network_inputs(network: SpikingNetwork | Twin, samples: Samples) -> dict[str, torch.Tensor]:
    """Return what `network` takes of `samples`: encoded for a spiking network, as they are for a twin."""
    if isinstance(network, SpikingNetwork):
        return {name: torch.as_tensor(samples.encoded[name], dtype=torch.float32) for name in network.input_names}
    if samples.raw is None:
        raise UsageError("--data", "the file holds encoded inputs, and the ANN takes raw ones", "Drop --ann")
    return {name: torch.from_numpy(samples.raw.inputs[name]) for name in network.input_names}


def snn_row(subject: Subject, samples: Samples, models: Sequence[EnergyModel]) -> Scored:
    """Score the snnTorch network itself, and audit every chip stage of its export against it."""
    network = subject.network
    assert network is not None
    inputs = network_inputs(network, samples)
    wrote, predicted_N, took = _ran(network, inputs)
    stored = _footprint(network, len(samples.labels_N))
    embedded = embeddings(network, wrote, samples.labels_N)
    drafts = draft_network(network, inputs, subject.staged.dt_s, check=False)
    tensors = {name: x.numpy() for name, x in drafts.tensors.items()}
    given = {chip.name: {node: tensors[t] for node, t in chip.inputs.items()} for chip in drafts.chips}
    run = NetworkRun(tensors, given, {chip.name: chip.recording for chip in drafts.chips})
    scored = _finish(subject, samples, "snn", "snn", run, predicted_N, took, models)
    row = _with(_with(scored.row, "footprint", stored), "discrimination", embedded)
    return replace(scored, row=row, network=network)


def trained_row(subject: Subject, samples: Samples, deployed_N: NDArray[np.int64] | None) -> Scored:
    """Score the network as it was trained, where what is deployed, which answered `deployed_N`, computes another."""
    network = subject.trained
    assert network is not None
    assert deployed_N is not None
    wrote, predicted_N, took = _ran(network, network_inputs(network, samples))
    same = f"{int((predicted_N == deployed_N).sum())} of {len(deployed_N)} answers are the same"
    why = f"the network as trained; deployed, row snn, is its form with L2 treatment '{subject.l2}': {same}"
    row = Row(
        **_about(subject, samples, "trained", "snn", subject.recipe.seed if subject.recipe else None),
        twin=None,
        **_unaudited(predicted_N, samples),
        counts=None,
        energy=(),
        measured=None,
        timing=took,
        missing=dict.fromkeys(("agreement", "coverage", "counts", "energy", "footprint"), why)
        | {"measured": NOT_MEASURED, "discrimination": why},
    )
    row = _with(row, "discrimination", embeddings(network, wrote, samples.labels_N))
    return Scored(row, predicted_N, network=network)


def _ran(
    network: SpikingNetwork, inputs: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], NDArray[np.int64], blocks.Timing]:
    """Run `network`; return all that its segments wrote, its answers, and how long it took."""
    with torch.no_grad():
        wrote, took = timed(lambda: network.tensors(inputs), next(iter(inputs.values())).shape[1])
    answer = wrote[network.answer]
    logits_NK = answer if network.reads_out else answer.sum(0).flatten(1)
    return wrote, logits_NK.argmax(1).numpy(), took


def _unaudited(predicted_N: NDArray[np.int64], samples: Samples) -> dict[str, Any]:
    """Return the fields of a torch network that ran and has no stages to hold it against."""
    right = {"accuracy": _accuracy(predicted_N, samples), "answers": _answers(predicted_N, samples)}
    return {"status": "ok", "reason": None, **right, "coverage": None, "agreement": None, "stages": ()}


def _footprint(network: SpikingNetwork | Twin, samples: int) -> blocks.Footprint | str:
    """Return what `network`, which just ran `samples` samples, stores, or why that is not known."""
    try:
        return footprint(network, samples)
    except UnfaithfulError as error:
        return str(error)


def _with(row: Row, figure: str, found: object) -> Row:
    """Return `row` with one more figure, or with the reason why that is not known."""
    missing = {name: why for name, why in row.missing.items() if name != figure}
    if isinstance(found, str):
        return row.model_copy(update={"missing": missing | {figure: found}})
    return row.model_copy(update={figure: found, "missing": missing})


def backend_row(
    name: str, backend: Backend, subject: Subject, samples: Samples, models: Sequence[EnergyModel]
) -> Scored:
    """Run `subject` on a backend; whatever goes wrong becomes the row's status and reason."""
    network = subject.staged
    calibration = {n: x[:, :CALIBRATION_SAMPLES] for n, x in samples.encoded.items()}
    try:
        programs = lower_network(network, backend, calibration)
        run, took = timed(lambda: run_network(network, programs, samples.encoded), len(samples.labels_N))
        answers_N = scores(run, network).argmax(1).astype(np.int64)
        scored = _finish(subject, samples, name, "backend", run, answers_N, took, models)
        mapping, losses = by_chip(map_programs(programs, run)), by_layer(losses_of(programs))
        condition = {**scored.row.condition, **({"weight_bits": told_bits(losses)} if losses else {})}
        found = {"mapping": mapping, "quantised": losses, "condition": condition}
        return replace(scored, row=scored.row.model_copy(update=found))
    except UnfaithfulError as error:
        return _never_ran(subject, samples, name, "unsupported", str(error))
    except UnavailableError as error:
        return _never_ran(subject, samples, name, "unavailable", str(error))
    except SpikeportError as error:
        return _never_ran(subject, samples, name, "failed", str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return _never_ran(subject, samples, name, "failed", reason, traceback.format_exc())


def _finish(
    subject: Subject,
    samples: Samples,
    name: str,
    kind: str,
    run: NetworkRun,
    answers_N: NDArray[np.int64],
    took: blocks.Timing,
    models: Sequence[EnergyModel],
) -> Scored:
    network = subject.staged
    agreements = audit_run(network, run)
    chip = {s.name: count_stage(s.graph, run.chip_inputs[s.name], run.recordings[s.name]) for s in network.chips}
    crossings = count_crossings(network, run.chip_inputs, run.recordings)
    counts = NetworkCounts(chip, subject.host_layers(samples.timesteps), crossings)
    status, reason = audit_verdict(agreements, run.quantised)
    row = Row(
        **_about(subject, samples, name, kind, subject.recipe.seed if subject.recipe else None),
        twin=None,
        status=status,
        reason=reason,
        accuracy=_accuracy(answers_N, samples),
        answers=_answers(answers_N, samples),
        coverage=cover_run(network, run),
        agreement=agreement_block(agreements),
        stages=stage_shares(counts),
        counts=snn_block(counts),
        energy=energy_rows(counts, models),
        measured=None,
        timing=took,
        missing=NOT_HERE,
    )
    return Scored(row, answers_N, counts, run)


def _never_ran(
    subject: Subject, samples: Samples, name: str, status: Status, reason: str, trace: str | None = None
) -> Scored:
    row = Row(
        **_about(subject, samples, name, "backend", subject.recipe.seed if subject.recipe else None),
        twin=None,
        status=status,
        reason=reason,
        accuracy=None,
        coverage=None,
        agreement=None,
        stages=(),
        counts=None,
        energy=(),
        measured=None,
        timing=None,
    )
    return Scored(row, trace=trace)


def _about(subject: Subject, samples: Samples, name: str, kind: str, seed: int | None) -> dict[str, Any]:
    recipe = subject.recipe
    noise = {f"noise.{n}": level for n, level in recipe.data.noise.items()} if recipe else {}
    return {
        "id": f"{subject.name}/{name}",
        "name": name,
        "kind": kind,
        "model": recipe.model.name if recipe else subject.name,
        "bundle": None if kind == "ann" else subject.sha256,
        "seed": seed,
        "dataset": samples.about,
        "condition": {**noise, **({} if subject.l2 is None else {"l2": subject.l2}), "T": samples.timesteps},
        "dt_s": subject.staged.dt_s,
        "timesteps": samples.timesteps,
    }


def _accuracy(answers_N: NDArray[np.int64], samples: Samples) -> blocks.Accuracy:
    n = len(answers_N)
    right = int((answers_N == samples.labels_N).sum())
    return blocks.Accuracy(value=right / n, n=n, ci95=wilson(right, n))


def _answers(answers_N: NDArray[np.int64], samples: Samples) -> blocks.Answers:
    right = "".join("1" if equal else "0" for equal in answers_N == samples.labels_N)
    return blocks.Answers(right=right, samples_sha256=samples.sha256)
