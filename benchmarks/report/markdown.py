"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from spikeport.benchmarks.report import agreement, discrimination, placement, quantised, tables
from spikeport.benchmarks.report.tables import Table
from spikeport.benchmarks.results import Results


def render_markdown(results: Results) -> str:
    """Return everything that is no picture as one Markdown document."""
    parts = [f"# {_inline(results.title)}", *(f"> {_inline(note)}" for note in tables.notes(results))]
    parts += [table(tables.summary(results)), "  \n".join(tables.LEGEND)]
    parts += _bullets([f"**{name}** {why}" for name, why in tables.reasons(results)])
    parts += _bullets(list(tables.differences(results)))
    parts += ["## Agreement with the reference", table(agreement.table(results))]
    parts += _bullets(list(agreement.unproven(results)))
    parts += ["## Work per sample", table(tables.totals(results))]
    if (crossings := tables.crossings(results)).rows:
        parts += ["## Between chip and host, per sample", table(crossings)]
    if embeddings := discrimination.sets(results):
        parts += [f"## {discrimination.TITLE}", table(discrimination.table(embeddings)), discrimination.NOTE]
    label = tables.labels(results)
    for row in results.rows:
        if row.counts:
            parts += [f"### Every node of {_inline(label[row.id])}", table(tables.per_node(row))]
    not_counted = {n.name: n.reason for row in results.rows if row.counts for n in row.counts.not_counted}
    parts += _bullets([f"not counted: `{name}`: {why}" for name, why in not_counted.items()])
    if results.comparisons:
        parts += ["## Energy (estimated, not measured)", table(tables.energy(results))]
        parts += _bullets([f"{name}: {verdict}" for name, verdict in tables.verdicts(results)])
    if (chips := tables.spiking_only(results)).rows:
        parts += ["## Chips (estimated, spiking networks only, no ratio)", table(chips)]
    if (read := tables.measured(results)).rows:
        parts += ["## Energy (measured)", table(read), *tables.measured_notes(results)]
    if (occupancy := placement.occupancy(results)).rows:
        parts += ["## On the chip (placed, not run)", table(occupancy)]
        parts += _bullets([f"{p.title}: {p.breach}" for p in placement.pictures(results) if p.breach])
    if (losses := quantised.losses(results)).rows:
        parts += ["## What integers cost", table(losses), quantised.NOTE]
    parts += _bullets([f"not known: {name}: {why}" for name, why in tables.missing(results)])
    parts += ["## Provenance", *_bullets(list(tables.provenance(results)))]
    if results.reproduce:
        parts += ["## Reproduce", "```\n" + "\n".join(results.reproduce) + "\n```"]
    return "\n\n".join(parts) + "\n"


def document(parts: Iterable[str | Table | Iterable[str]]) -> str:
    """Return paragraphs, tables and lists of lines as one document; an empty list is left out."""
    written: list[str] = []
    for part in parts:
        if isinstance(part, str):
            written.append(part)
        elif isinstance(part, Table):
            written.append(table(part))
        else:
            written += _bullets(list(part))
    return "\n\n".join(written) + "\n"


def table(content: Table) -> str:
    """Return a table; columns that are not text stand to the right."""
    if not content.rows:
        return "None."
    rule = ["---" if i < content.text_columns else "---:" for i in range(len(content.header))]
    lines = [content.header, rule, *content.rows]
    return "\n".join("| " + " | ".join(_inline(cell) for cell in line) + " |" for line in lines)


def _bullets(lines: list[str]) -> list[str]:
    return ["\n".join(f"- {_inline(line)}" for line in lines)] if lines else []


def _inline(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
