"""The tables that terminal, Markdown and HTML share, as strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from spikeport.benchmarks.blocks import DenseNode, Difference, NeuronNode, SynapseNode
from spikeport.benchmarks.report import text
from spikeport.benchmarks.results import NEVER_RAN, Results, Row
from spikeport.export.coverage import NodeCoverage

LEGEND = (
    "ok | quantised (differs by declared rounding) | mismatch | partial | unsupported | unavailable | failed.  "
    "- = not known, never zero.",
    "accuracy: percent correct [95 % Wilson interval].  agreement: spikes against the reference interpreter.",
    "coverage: neurons that fired and did not always fire on these samples, of the node with the fewest.",
    "MACs, ACs: operations per sample that a zero-skipping machine does (an ANN's MACs: dense).",
    "energy = estimate, not measured: low to high over each model's constants.",
    "ms/sample: wall time of a whole inference on this machine, median [fastest, slowest] of the repeats.",
)


Named: TypeAlias = tuple[str, Row]
"""A row and what to call it."""


@dataclass(frozen=True)
class Table:
    """A header and rows of as many cells; `text_columns` are not numeric and stand to the left."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1


def labels(results: Results) -> dict[str, str]:
    """Return what to call each row, by id: its name, or its id where several rows share one."""
    names = [row.name for row in results.rows]
    return {row.id: row.name if names.count(row.name) == 1 else row.id for row in results.rows}


def named(results: Results) -> tuple[Named, ...]:
    """Return every row under its label."""
    label = labels(results)
    return tuple((label[row.id], row) for row in results.rows)


def kind_name(row: Row) -> str:
    """Return what a picture calls a row that stands for its kind."""
    return "ANN" if row.kind == "ann" else "SNN"


def summary(results: Results) -> Table:
    """Return one line per row of the results."""
    return summary_of(named(results))


def summary_of(rows: Sequence[Named]) -> Table:
    """Return one line for each of these rows."""
    models = list(dict.fromkeys(e.model for _, row in rows for e in row.energy if e.summary))
    header = ("name", "status", "accuracy ↑", "agreement ↑", "coverage ↑", "MACs", "ACs", *models, "ms/sample")
    return Table(header, tuple(_summary_row(row, label, models) for label, row in rows), text_columns=2)


def _summary_row(row: Row, label: str, models: list[str]) -> tuple[str, ...]:
    estimates = {e.model: e for e in row.energy}
    per_sample = row.counts.per_sample if row.counts else None
    macs = None
    if per_sample:
        macs = per_sample.dense_macs if row.kind == "ann" else per_sample.synops_mac
    return (
        label,
        row.status,
        text.accuracy(row.accuracy),
        text.agreement(row.agreement),
        text.coverage(row.coverage),
        text.amount(macs),
        text.amount(per_sample.synops_ac if per_sample else None),
        *(text.energy_range(estimates.get(model)) for model in models),
        text.timing(row.timing),
    )


def reasons(results: Results) -> tuple[tuple[str, str], ...]:
    """Return (row, why) of every row that is not ok, or is and has something to be said of it: once, for all sweeps."""
    label = labels(results)
    return tuple(
        (label[row.id], row.reason if row.status == "ok" else f"{row.status}: {row.reason}")
        for row in results.rows
        if row.reason and not (row.status == "ok" and row.swept)
    )


def missing(results: Results) -> tuple[tuple[str, str], ...]:
    """Return (row figure, why) of every null in rows that ran."""
    label = labels(results)
    listed = []
    for row in results.rows:
        if row.status in NEVER_RAN:
            continue
        gaps = {**row.missing, **(row.counts.missing if row.counts else {})}
        listed += [(f"{label[row.id]}: {figure}", why) for figure, why in gaps.items()]
        listed += [
            (f"{label[row.id]}: energy, {e.model}", e.reason) for e in row.energy if e.reason and e.prices == "both"
        ]
    return tuple(listed)


def notes(results: Results) -> tuple[str, ...]:
    """Return what is to be said wherever a figure stands: each data set, once."""
    return tuple(
        dict.fromkeys(
            f"{r.dataset.samples} samples of {r.dataset.name} ({r.dataset.split}): {r.dataset.note}"
            for r in results.rows
        )
    )


def provenance(results: Results) -> tuple[str, ...]:
    """Return where the results come from."""
    git = f", git {results.git}" if results.git else ""
    bundles = dict.fromkeys(f"bundle: SHA-256 {row.bundle}" for row in results.rows if row.bundle)
    environment = (f"{key}: {value}" for key, value in results.environment.items())
    return (f"created {results.created} by spikeport {results.spikeport}{git}", *bundles, *environment)


def differences(results: Results) -> tuple[str, ...]:
    """Return one sentence per paired difference, in percentage points, with what an ANN in it does not share."""
    label = labels(results)
    told = {row.id: f"; {label[row.id]} is {row.reason}" for row in results.rows if row.kind == "ann" and row.reason}
    return tuple(
        _difference(d, label) + "".join(told.get(name, "") for name in (d.first, d.second)) for d in results.differences
    )


def _difference(d: Difference, label: dict[str, str]) -> str:
    value, low, high = (100 * v for v in (d.value, *d.ci95))
    start = f"{label[d.first]} minus {label[d.second]}: {value:+.1f} points [{low:+.1f}, {high:+.1f}]"
    return f"{start} on the same {d.n} samples ({d.method})"


def totals(results: Results) -> Table:
    """Return what one inference does, row by row."""
    return totals_of(named(results))


def totals_of(rows: Sequence[Named]) -> Table:
    """Return what one inference does in each of these rows that was counted."""
    header = ("name", "spikes", "ACs", "MACs", "dense MACs", "neuron updates", "zero weights", "silent", "on chip")
    return Table(header, tuple(_totals_row(row, label) for label, row in rows if row.counts))


def _totals_row(row: Row, label: str) -> tuple[str, ...]:
    assert row.counts is not None
    c = row.counts.per_sample
    chip = [s.share_of_ops for s in row.stages if s.kind == "chip" and s.share_of_ops is not None]
    figures = (c.spikes, c.synops_ac, c.synops_mac, c.dense_macs, c.neuron_updates)
    sparsity = (text.percent(row.counts.weight_sparsity), text.percent(row.counts.activation_sparsity))
    return (label, *(text.amount(f) for f in figures), *sparsity, text.percent(sum(chip)) if chip else text.UNKNOWN)


def crossings(results: Results) -> Table:
    """Return what passes between the chip and the rest in one sample, tensor by tensor."""
    label = labels(results)
    header = ("name", "tensor", "from", "to", "non-zero", "elements", "dense bytes")
    lines = []
    for row in results.rows:
        for c in row.counts.crossings if row.counts else ():
            figures = map(text.amount, (c.nonzero, c.elements, c.dense_bytes))
            lines.append((label[row.id], c.tensor, c.source, ", ".join(c.targets), *figures))
    return Table(header, tuple(lines), text_columns=4)


def per_node(row: Row) -> Table:
    """Return the counts of every node of a row."""
    header = ("node", "kind", "size", "spikes", "rate", "coverage", "ACs", "MACs", "dense MACs", "updates")
    nodes = row.counts.per_node if row.counts else {}
    covered = row.coverage.per_node if row.coverage else {}
    lines = tuple((name, *_node_cells(node, covered.get(name))) for name, node in nodes.items())
    return Table(header, lines, text_columns=2)


def _node_cells(node: NeuronNode | SynapseNode | DenseNode, covered: NodeCoverage | None) -> tuple[str, ...]:
    dash = text.UNKNOWN
    if isinstance(node, NeuronNode):
        rate = dash if node.rate is None else f"{node.rate:.4f}"
        size, updates = f"{text.amount(node.neurons)} neurons", text.amount(node.neuron_updates)
        share = dash if covered is None else covered.percent
        return ("neurons", size, text.amount(node.spikes), rate, share, dash, dash, dash, updates)
    size = f"{text.amount(node.weights)} weights"
    dense = text.amount(node.dense_macs)
    if isinstance(node, SynapseNode):
        events = (text.amount(node.synops_ac), text.amount(node.synops_mac))
        return ("synapses", size, dash, dash, dash, *events, dense, dash)
    kind = "dense" if node.passes == 1 else f"dense, {node.passes} passes"
    return (kind, size, dash, dash, dash, dash, text.amount(node.nonzero_macs), dense, dash)


def energy(results: Results) -> Table:
    """Return both sides, ratio and break-even of every comparison and variant; published thresholds say so."""
    label = labels(results)
    header = ("model", "constants", "against", "SNN", "ANN", "ANN ÷ SNN", "measured S", "break-even S*")
    rows: list[tuple[str, ...]] = []
    for c in results.comparisons:
        rate = text.UNKNOWN if c.spikes_per_synapse is None else f"{c.spikes_per_synapse:.3g}"
        against = label[c.ann] if c.cross_technology is None else f"{label[c.ann]} as {c.cross_technology}"
        mark = "" if c.cross_technology is None else " across technologies"
        for v in c.variants:
            sides = (text.picojoules(v.snn_pj), text.picojoules(v.ann_pj))
            ratio = f"{v.ratio:.3g}×{mark}"
            rows.append((c.model, v.variant, against, *sides, ratio, rate, break_even(v.break_even)))
        for t in c.thresholds:
            span = f"{t.low:.3g}" if t.low == t.high else f"{t.low:.3g} to {t.high:.3g}"
            rows.append((c.model, t.name, against, *[text.UNKNOWN] * 3, rate, f"{span} (published)"))
    return Table(header, tuple(rows), text_columns=3)


def spiking_only(results: Results) -> Table:
    """Return the first spiking row's estimates without a like-for-like ratio: models of chips that run no ANN."""
    header = ("model", "technology", "per sample, estimated", "or the reason")
    row = next((row for row in results.rows if row.kind != "ann" and row.energy), None)
    found = [e for e in row.energy if e.prices == "spiking"] if row else []
    return Table(header, tuple((e.model, e.technology, text.energy_range(e), e.reason or "") for e in found))


def measured(results: Results) -> Table:
    """Return the joules that were read from a counter; estimates stand elsewhere."""
    label = labels(results)
    header = (
        "name",
        "device",
        "method",
        "batch",
        "total per sample",
        "dynamic per sample",
        "standard error",
        "repeats",
    )
    rows = []
    for row in results.rows:
        for m in (*((row.measured,) if row.measured else ()), *row.measured_also):
            joules = (text.joules(m.joules_total), text.joules(m.joules_dynamic), text.joules(m.standard_error))
            rows.append((label[row.id], m.device, m.method, str(m.batch), *joules, str(m.repeats)))
    return Table(header, tuple(rows), text_columns=3)


def measured_notes(results: Results) -> tuple[str, ...]:
    """Return what must stand beside measured joules, each sentence once."""
    read = [m for row in results.rows for m in (*((row.measured,) if row.measured else ()), *row.measured_also)]
    return tuple(dict.fromkeys(m.note for m in read if m.note))


def verdicts(results: Results, short: bool = False) -> tuple[tuple[str, str], ...]:
    """Return (model against which ANN, sentence) of every comparison; of those without a ratio, once each.

    Args:
        results: the results.
        short: only of models that have a column in `summary`.
    """
    label, anns = labels(results), {c.ann for c in results.comparisons}
    columns = {e.model for row in results.rows for e in row.energy if e.summary}
    found: dict[str, str] = {}
    for c in results.comparisons:
        if short and c.model not in columns:
            continue
        told = c.variants or c.thresholds
        found[f"{c.model} against {label[c.ann]}" if len(anns) > 1 and told else c.model] = c.verdict
    return tuple(found.items())


def break_even(value: float | None) -> str:
    """Return S*, or that there is none."""
    if value is None:
        return text.UNKNOWN
    return f"{value:.3g}" if value > 0 else "none: loses at any rate"
