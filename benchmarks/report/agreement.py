"""How the rows compare with the reference interpreter, and what that comparison does not cover."""

from __future__ import annotations

from spikeport.benchmarks.report import text
from spikeport.benchmarks.report.tables import Table, labels
from spikeport.benchmarks.results import Results, Row
from spikeport.export.coverage import unproven_lines


def table(results: Results) -> Table:
    """Return how each row compares with the reference interpreter, and why where it does not."""
    label = labels(results)
    figures = ("equal entries", "Jaccard", "ties", "latency", "coverage")
    header = ("name", "status", "verdict", *figures, "first divergence, reason")
    return Table(header, tuple(_row(r, label[r.id]) for r in results.rows if r.kind != "ann"), text_columns=2)


def _row(row: Row, label: str) -> tuple[str, ...]:
    reason = row.reason or ""
    a = row.agreement
    if a is None:
        why = reason or row.missing.get("agreement", "")
        return (label, row.status, *[text.UNKNOWN] * 6, why)
    latency = max(a.latency_steps.values(), default=0)
    if d := a.first_divergence:
        where = f"step {d.step}, node {d.node}, neuron {list(d.neuron)}, margin {d.margin:.3g}"
        reason = f"{where}. {reason}" if reason else where
    verdict = "exact" if a.exact else "differs"
    equal = f"{int(a.spikes * 1e6) / 1e4:.4f} %"
    steps = f"{latency} step" if latency == 1 else f"{latency} steps"
    figures = (equal, f"{a.jaccard:.4f}", str(a.ties), steps, text.coverage(row.coverage))
    return (label, row.status, verdict, *figures, reason)


def unproven(results: Results) -> tuple[str, ...]:
    """Return one sentence for every node that never fired, with the rows in which it did not."""
    label = labels(results)
    found: dict[str, list[str]] = {}
    for row in results.rows:
        for line in unproven_lines(row.coverage) if row.coverage else ():
            found.setdefault(line, []).append(label[row.id])
    return tuple(f"{', '.join(rows)}: {line}" for line, rows in found.items())
