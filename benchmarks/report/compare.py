"""Two results side by side: differences of the rows that both have, with intervals, and what differs in provenance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spikeport.benchmarks.report import discrimination, matching, page, sides, tables, text
from spikeport.benchmarks.report.markdown import document
from spikeport.benchmarks.report.tables import Table
from spikeport.benchmarks.results import Results, Row
from spikeport.benchmarks.statistics import independent_difference, paired_difference
from spikeport.files import new_file

NOTE = (
    "Accuracy differences are second minus first, in percentage points, with Newcombe's 95 % interval (1998, method "
    "10): paired where both rows answered the same samples, which their SHA-256 shows; independent (phi = 0) otherwise."
)
ENERGY_NOTE = "*energy: second over first, over all models that both have; estimated. ACs and MACs: second over first."


def rows(first: Results, second: Results) -> Table:
    """Return one line per row that both have."""
    accuracies = ("accuracy, first", "accuracy, second", "difference")
    header = ("row", "status", *accuracies, "agreement", "ACs", "MACs", "energy*")
    return Table(header, tuple(_line(pair) for pair in matching.pairs(first, second)), text_columns=2)


def _line(pair: matching.Pair) -> tuple[str, ...]:
    a, b = pair
    return (
        matching.label(pair),
        a.status if a.status == b.status else f"{a.status} → {b.status}",
        text.accuracy(a.accuracy),
        text.accuracy(b.accuracy),
        _accuracy(a, b),
        _change(text.agreement(a.agreement), text.agreement(b.agreement)),
        _factor(*(row.counts.per_sample.synops_ac if row.counts else None for row in (a, b))),
        _factor(*(row.counts.per_sample.synops_mac if row.counts else None for row in (a, b))),
        _energy(a, b),
    )


def _accuracy(first: Row, second: Row) -> str:
    a, b = first.accuracy, second.accuracy
    if a is None or b is None:
        return text.UNKNOWN
    if first.answers and second.answers and first.answers.samples_sha256 == second.answers.samples_sha256:
        paired = paired_difference(*([c == "1" for c in row.answers.right] for row in (second, first) if row.answers))
        return f"{_points(paired.difference, paired.ci95)}, paired"
    value, ci95 = independent_difference(round(b.value * b.n), b.n, round(a.value * a.n), a.n)
    return f"{_points(value, ci95)}, independent"


def _points(value: float, ci95: tuple[float, float]) -> str:
    return f"{100 * value:+.1f} [{100 * ci95[0]:+.1f}, {100 * ci95[1]:+.1f}]"


def _factor(a: float | None, b: float | None) -> str:
    """Return the second over the first, or both where the first is 0."""
    if a is None or b is None:
        return text.UNKNOWN
    if a == b:
        return "="
    return f"×{b / a:.3g}" if a else f"{text.amount(a)} → {text.amount(b)}"


def _energy(a: Row, b: Row) -> str:
    """Return the least and the largest factor over the models that both rows have."""
    before = {e.model: e.per_sample_pj for e in a.energy if e.per_sample_pj}
    factors = [e.per_sample_pj / before[e.model] for e in b.energy if e.per_sample_pj and e.model in before]
    if not factors:
        return text.UNKNOWN
    low, high = min(factors), max(factors)
    if low == high == 1:
        return "="
    return f"×{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"×{low:.3g} to ×{high:.3g}"


def _change(a: str, b: str) -> str:
    return a if a == b else f"{a} → {b}"


def embeddings(first: Results, second: Results) -> discrimination.Sets:
    """Return the embeddings of both, whatever their rows are called: networks with and without an L2 layer, say."""
    one, two = ({row.id: f"{which}: {row.id}" for row in r.rows} for which, r in (("first", first), ("second", second)))
    return {**discrimination.sets(first, one), **discrimination.sets(second, two)}


def unmatched(first: Results, second: Results) -> tuple[str, ...]:
    """Return one sentence for each row that only one of the two has."""
    known = [{row.id for row in rows} for rows in zip(*matching.pairs(first, second), strict=True)]
    return tuple(
        f"only in the {side}: {row.id} ({row.status})"
        for side, results, ids in zip(sides.SIDES, (first, second), known, strict=True)
        for row in results.rows
        if row.id not in ids
    )


def provenance(first: Results, second: Results) -> Table:
    """Return what differs in where the two come from: software, machine, samples, conditions."""
    one, two = _origin(first), _origin(second)
    for pair in matching.pairs(first, second):
        for told, row in zip((one, two), pair, strict=True):
            told |= {f"{matching.label(pair)}: {key}": value for key, value in _row_origin(row).items()}
    keys = [key for key in dict.fromkeys((*one, *two)) if one.get(key) != two.get(key)]
    lines = tuple((key, one.get(key, text.UNKNOWN), two.get(key, text.UNKNOWN)) for key in keys)
    return Table(("what", "first", "second"), lines, text_columns=3)


def _origin(results: Results) -> dict[str, str]:
    return {
        "created": results.created,
        "spikeport": results.spikeport,
        "git": str(results.git),
        **{key: str(value) for key, value in results.environment.items()},
    }


def _row_origin(row: Row) -> dict[str, str]:
    told: Mapping[str, object] = {
        "model": row.model,
        "bundle": row.bundle,
        "seed": row.seed,
        "timesteps": row.timesteps,
        "dt_s": row.dt_s,
        **{f"dataset {key}": value for key, value in row.dataset.model_dump().items()},
        **row.condition,
    }
    return {key: str(value) for key, value in told.items()}


def render_comparison(first: Results, second: Results) -> str:
    """Return the comparison as Markdown."""
    parts: list[str | Table | tuple[str, ...]] = [f"# {title(first, second)}", matching.said(first, second)]
    parts += [sides.notes(first, second), rows(first, second), NOTE, ENERGY_NOTE, unmatched(first, second)]
    parts += ["## Side by side", sides.summary(first, second), "## Work per sample", sides.work(first, second)]
    parts += ["## Energy (estimated, not measured)", sides.verdicts(first, second)]
    for side, results in zip(sides.SIDES, (first, second), strict=True):
        parts += [f"### SNN against ANN, {side}", tables.energy(results)]
    if found := embeddings(first, second):
        parts += [f"## {discrimination.TITLE}", discrimination.table(found), discrimination.NOTE]
    parts += ["## What differs in provenance", provenance(first, second)]
    return document(parts)


def title(first: Results, second: Results) -> str:
    """Return what the comparison is called."""
    return first.title if first.title == second.title else f"{first.title} and {second.title}"


def write_comparison(first: Results, second: Results, path: Path) -> None:
    """Write the comparison as a page that opens offline: aside first, then renamed over `path`."""
    found = embeddings(first, second)
    planes = discrimination.pictures(found)
    single = {"accuracy": sides.accuracy(first, second), "energy": sides.energy(first, second)}
    drawn = [chart for chart in (*single.values(), *(plane for _, plane in planes)) if chart is not None]
    content = page.render(
        "compare.html.j2",
        title(first, second),
        drawn,
        charts=single,
        planes=planes,
        discrimination=discrimination,
        embeddings=discrimination.table(found),
        first=first,
        second=second,
        said=matching.said(first, second),
        sides=sides,
        tables=tables,
        rows=rows(first, second),
        unmatched=unmatched(first, second),
        provenance=provenance(first, second),
        note=NOTE,
        energy_note=ENERGY_NOTE,
    )
    with new_file(path) as aside:
        aside.write_text(content, encoding="utf-8")
