"""A model card in Markdown, from a `Results` alone: what the network is, reaches and costs, and what it is not."""

from __future__ import annotations

from spikeport.benchmarks.report import agreement, tables, text
from spikeport.benchmarks.report.markdown import document
from spikeport.benchmarks.report.tables import Table
from spikeport.benchmarks.results import Results, Row

LIMITS = (
    "Scored on the samples named above and on no others.",
    "Energy is estimated from counted operations and published constants; the models leave out different things, so "
    "only the whole range means something.",
    "No neuromorphic chip ran this network unless a row above says so.",
)


def render_card(results: Results) -> str:
    """Return the card of the results' first spiking row."""
    row = next((row for row in results.rows if row.kind != "ann" and row.counts), results.rows[0])
    parts: list[str | Table | tuple[str, ...]] = [
        f"# Model card: {results.title}",
        "## The network",
        _about(row),
        "## Data",
        tuple(tables.notes(results)),
        "## Accuracy",
        tables.summary(results),
        tables.differences(results),
        tuple(f"**{name}** {why}" for name, why in tables.reasons(results)),
        "## Agreement of the backends",
        agreement.table(results),
        agreement.unproven(results),
        "## What one sample costs",
        tables.totals(results),
        "Energy, estimated and not measured:",
        _energy(row),
        tuple(f"{name}: {verdict}" for name, verdict in tables.verdicts(results, short=True)),
    ]
    if (read := tables.measured(results)).rows:
        parts += ["Energy, measured:", read, tables.measured_notes(results)]
    parts += ["## Limits", LIMITS, tuple(f"not known: {name}: {why}" for name, why in tables.missing(results))]
    parts += ["## Provenance", tables.provenance(results)]
    if results.reproduce:
        parts += ["```\n" + "\n".join(results.reproduce) + "\n```"]
    return document(parts)


def _about(row: Row) -> Table:
    condition = ", ".join(f"{key} {value}" for key, value in row.condition.items())
    told = {
        "model": row.model,
        "bundle, SHA-256": row.bundle,
        "steps": row.timesteps,
        "step": None if row.dt_s is None else f"{1e3 * row.dt_s:g} ms",
        "seed": row.seed,
        "condition": condition or None,
    }
    return Table(("what", "value"), tuple((k, text.UNKNOWN if v is None else str(v)) for k, v in told.items()), 2)


def _energy(row: Row) -> Table:
    lines = tuple((e.model, text.energy_range(e), e.technology, e.reason or "") for e in row.energy)
    return Table(("model", "per sample", "technology", "or the reason"), lines)
