"""The benchmark: every network, its twin and every backend on the same samples, into one `Results`."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import spikeport
from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.layers import AnnCounts
from spikeport.benchmarks.counting.network import NetworkCounts
from spikeport.benchmarks.energy import load, with_own
from spikeport.benchmarks.energy.model import EnergyModel
from spikeport.benchmarks.energy.verdict import compare
from spikeport.benchmarks.example import example
from spikeport.benchmarks.measured.meter import Meter
from spikeport.benchmarks.measured.windows import Plan
from spikeport.benchmarks.results import Results
from spikeport.benchmarks.rows import Scored, ann_row, backend_row, network_inputs, snn_row, trained_row
from spikeport.benchmarks.samples import DataRequest, Samples, load_samples
from spikeport.benchmarks.statistics import paired_difference
from spikeport.benchmarks.subject import NirReading, Subject, open_subject
from spikeport.benchmarks.sweep import Point, Sweep, check_names, points
from spikeport.benchmarks.titles import titles
from spikeport.benchmarks.twins import check_twin, open_twins
from spikeport.deploy import backends
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.quantised import Quantising, with_weight_bits
from spikeport.errors import UsageError, did_you_mean
from spikeport.provenance import git_hash, machine, versions
from spikeport.train.run import Run

PACKAGES = ("torch", "snntorch", "nir", "numpy", "onnxruntime")


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        networks: runs, bundles and bare NIR files.
        backend_names: on which backends; a bundle or file alone runs at least on the reference.
        anns: the runs of ANN twins, each of another kind.
        data: which samples.
        reproduce: commands that the report shows.
        bundle: the bundle of the one run in `networks`, exported before; by default it is exported anew.
        reading: what bare NIR files leave open.
        weight_bits: of backends that quantise; by default their own.
        energy_models: the user's own, by path, beside those that come with spikeport.
        cross_technology: the model that prices the ANN where a chip's prices spiking networks only.
        sweeps: conditions to vary, one at a time.
        measure: read joules of the ANN and the snnTorch network by this plan; `None` reads none.
    """

    networks: Sequence[Path]
    backend_names: Sequence[str] = ()
    anns: Sequence[Path] = ()
    data: DataRequest = field(default_factory=DataRequest)
    reproduce: Sequence[str] = ()
    bundle: Path | None = None
    reading: NirReading = field(default_factory=NirReading)
    weight_bits: WeightBits | None = None
    energy_models: Sequence[Path] = ()
    cross_technology: str | None = None
    sweeps: Sequence[Sweep] = ()
    measure: Plan | None = None


@dataclass(frozen=True)
class Outcome:
    """The results, with tracebacks of failed rows."""

    results: Results
    traces: dict[str, str]


def run_benchmark(request: Request, progress: Callable[[str], None]) -> Outcome:
    """Measure; `progress` is told what runs now."""
    scored: list[Scored] = []
    comparisons: list[blocks.EnergyComparison] = []
    differences: list[blocks.Difference] = []
    shown: blocks.Example | None = None
    check_names(request.sweeps)
    models = with_own(request.energy_models)
    meter = None if request.measure is None else Meter.open("cpu", request.measure)
    across = None if request.cross_technology is None else _across(request.cross_technology, models)
    names = titles(request.networks)
    twins = open_twins(request.anns)
    with tempfile.TemporaryDirectory(prefix="spikeport-") as scratch:
        for name, path in zip(names, request.networks, strict=True):
            progress(f"opening {path}")
            place = Path(scratch) / name
            place.mkdir()
            subject = replace(open_subject(path, place, request.bundle, request.reading, progress), name=name)
            for twin in twins:
                check_twin(twin, subject)
            samples = load_samples(request.data, subject.recipe, subject.shapes, subject.timesteps, subject.classes)
            rows = _metered(meter, samples, _score(request, subject, samples, twins, models, progress))
            comparisons += _energy(rows, models, across)
            differences += _differences(rows, samples)
            shown = shown or example(subject, samples, rows)
            for point in _points(request, path, subject, samples, place):
                progress(f"{subject.name}: {point.sweep}={point.value:g}")
                rows += [point.marked(s) for s in _score_at(request, point, twins, models)]
            scored += [Scored(s.row, trace=s.trace) for s in rows]
    results = Results(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        spikeport=spikeport.__version__,
        git=git_hash(),
        environment=machine() | versions(PACKAGES),
        title=" and ".join(names),
        rows=tuple(s.row for s in scored),
        comparisons=tuple(comparisons),
        differences=tuple(differences),
        example=shown,
        reproduce=tuple(request.reproduce),
    )
    return Outcome(results, {s.row.id: s.trace for s in scored if s.trace})


def _across(name: str, models: Sequence[EnergyModel]) -> EnergyModel:
    """Return the model called `name` among all that are shown, the user's own too, or the one in that file."""
    if Path(name).suffix in (".yaml", ".yml"):
        return load(name)
    known = {model.name: model for model in models}
    if name not in known:
        fix = did_you_mean(name, known) + "; or give a .yaml file"
        raise UsageError(f"--cross-technology {name}", "there is no such energy model", fix)
    return known[name]


def _score(
    request: Request,
    subject: Subject,
    samples: Samples,
    twins: Sequence[Run],
    models: Sequence[EnergyModel],
    progress: Callable[[str], None],
) -> list[Scored]:
    rows = []
    for twin in twins:
        progress(f"{subject.name}: ann, {twin.path}")
        rows.append(ann_row(twin, subject, samples, models))
    if subject.network is not None:
        progress(f"{subject.name}: snn")
        rows += _spiking(subject, samples, models)
    names = request.backend_names or (() if subject.network else ("reference",))
    for name in names:
        progress(f"{subject.name}: {name}")
        rows.append(
            backend_row(name, with_weight_bits(backends.get(name), request.weight_bits), subject, samples, models)
        )
    return _with_changed_answers(rows)


def _spiking(subject: Subject, samples: Samples, models: Sequence[EnergyModel]) -> list[Scored]:
    """Return the row of the snnTorch network as it is deployed, and as it was trained where that is another."""
    row = snn_row(subject, samples, models)
    return [row] if subject.trained is None else [row, trained_row(subject, samples, row.answers_N)]


def _points(request: Request, path: Path, subject: Subject, samples: Samples, scratch: Path) -> Iterator[Point]:
    for sweep in request.sweeps:
        yield from points(sweep, path, subject, samples, request.data, scratch)


def _score_at(request: Request, point: Point, twins: Sequence[Run], models: Sequence[EnergyModel]) -> list[Scored]:
    """Score what the point's condition changes."""
    subject, samples, rows = point.subject, point.samples, []
    if "ann" in point.runs:
        rows += [ann_row(twin, subject, samples, models) for twin in twins]
    if "snn" in point.runs and subject.network is not None:
        rows += _spiking(subject, samples, models)
    names: Sequence[str] = request.backend_names or (() if subject.network else ("reference",))
    bits = request.weight_bits
    if point.sweep == "weight_bits":
        bits = WeightBits(int(point.value))
        names = [name for name in names if isinstance(backends.get(name), Quantising)]
        if not names:
            raise UsageError("--sweep weight_bits", "no backend is named that quantises", "Add --backend loihi")
    for name in names:
        rows.append(backend_row(name, with_weight_bits(backends.get(name), bits), subject, samples, models))
    return rows


def _metered(meter: Meter | None, samples: Samples, rows: list[Scored]) -> list[Scored]:
    """Read joules last, when nothing else runs."""
    if meter is None:
        return rows
    found = []
    for scored in rows:
        row = meter.not_metered(scored.row)
        if scored.network is not None:
            row = meter.metered(scored.row, scored.network, network_inputs(scored.network, samples))
        found.append(replace(scored, row=row))
    return found


def _with_changed_answers(rows: list[Scored]) -> list[Scored]:
    """Say of every row that differs how many predictions that changed, against the first spiking row."""
    first = next((s for s in rows if s.answers_N is not None and s.row.kind != "ann"), None)
    differ = ("mismatch", "quantised")
    return [_counted(s, first) if first and s.row.status in differ and s is not first else s for s in rows]


def _counted(scored: Scored, first: Scored) -> Scored:
    if scored.answers_N is None or first.answers_N is None:
        return scored
    changed = int((scored.answers_N != first.answers_N).sum())
    reason = f"{scored.row.reason}; {changed} of {len(first.answers_N)} predictions differ from {first.row.name}'s"
    return replace(scored, row=scored.row.model_copy(update={"reason": reason}))


def _energy(
    rows: Sequence[Scored], models: Sequence[EnergyModel], across: EnergyModel | None
) -> list[blocks.EnergyComparison]:
    """Compare every ANN with the first spiking row; the other backends run the same counts."""
    snn = next((s for s in rows if isinstance(s.counts, NetworkCounts)), None)
    if snn is None:
        return []
    assert isinstance(snn.counts, NetworkCounts)
    return [
        _noted(found, ann.row.reason)
        for ann in rows
        if isinstance(ann.counts, AnnCounts)
        for found in compare(snn.counts, ann.counts, models, snn.row.id, ann.row.id, across)
    ]


def _noted(found: blocks.EnergyComparison, unlike: str | None) -> blocks.EnergyComparison:
    """Return the comparison with what the twin does not share with the network, in the verdict itself."""
    if unlike is None or not (found.variants or found.thresholds):
        return found
    return found.model_copy(update={"verdict": f"{found.verdict} The ANN is {unlike}."})


def _differences(rows: Sequence[Scored], samples: Samples) -> list[blocks.Difference]:
    """Every row against the first, and the first spiking one against every ANN: paired, since all saw the same."""
    ran = [s for s in rows if s.answers_N is not None]
    pairs = [(other, ran[0]) for other in ran[1:]]
    spiking = next((s for s in ran if s.row.kind != "ann"), None)
    if spiking is not None:
        pairs += [(spiking, ann) for ann in ran[1:] if ann.row.kind == "ann"]
    return [_difference(first, second, samples) for first, second in pairs]


def _difference(first: Scored, second: Scored, samples: Samples) -> blocks.Difference:
    assert first.answers_N is not None
    assert second.answers_N is not None
    paired = paired_difference(first.answers_N == samples.labels_N, second.answers_N == samples.labels_N)
    return blocks.Difference(
        first=first.row.id,
        second=second.row.id,
        value=paired.difference,
        ci95=paired.ci95,
        n=paired.n,
        method="Newcombe 1998, method 10, paired",
    )


def benchmark(
    *networks: str | Path,
    backend_names: Sequence[str] = (),
    ann: str | Path | None = None,
    data: str | None = None,
    samples: int | None = None,
) -> Results:
    """Measure runs and bundles on the same labelled samples: `spikeport.benchmark(...)`.

    Args:
        networks: folders of runs and bundles.
        backend_names: on which backends.
        ann: the run of the ANN twin.
        data: a dataset's name or an `.npz`; by default the test part that the network's recipe names.
        samples: the first so many.
    """
    anns = [] if ann is None else [Path(ann)]
    request = Request([Path(n) for n in networks], backend_names, anns, DataRequest(data, limit=samples))
    return run_benchmark(request, lambda _: None).results
