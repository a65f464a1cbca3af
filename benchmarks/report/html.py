"""One HTML page that opens offline: everything, plotly included, is inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spikeport.benchmarks.blocks import Difference, EnergyComparison
from spikeport.benchmarks.report import (
    agreement,
    charts,
    discrimination,
    page,
    pareto,
    placement,
    quantised,
    tables,
    text,
)
from spikeport.benchmarks.results import Results, Row
from spikeport.files import new_file


@dataclass(frozen=True)
class Headline:
    """A big number, its uncertainty, and what it is."""

    label: str
    value: str
    range: str
    note: str
    tone: str = ""


def write_html(results: Results, path: Path) -> None:
    """Write the page: aside first, then renamed over `path`."""
    content = render_html(results)
    with new_file(path) as aside:
        aside.write_text(content, encoding="utf-8")


def render_html(results: Results) -> str:
    """Return the page."""
    example = results.example
    inputs = [charts.heatmap(p, i) for i, p in enumerate(example.inputs)] if example else []
    rasters = [charts.raster(r, i) for i, r in enumerate(example.rasters)] if example else []
    traces = [charts.trace(t, i) for i, t in enumerate(example.traces)] if example else []
    single = {"accuracy": charts.accuracy(results), "activity": charts.activity(results)}
    single["energy"] = charts.energy(results)
    pictures = placement.pictures(results)
    sweeps = pareto.charts(results)
    embeddings = discrimination.sets(results)
    planes = discrimination.pictures(embeddings)
    drawn = [
        c
        for c in (
            *single.values(),
            *(plane for _, plane in planes),
            *sweeps,
            *inputs,
            *rasters,
            *traces,
            *(p.chart for p in pictures),
        )
        if c is not None
    ]
    return page.render(
        "page.html.j2",
        results.title,
        drawn,
        results=results,
        charts=single,
        inputs=list(zip(example.inputs, inputs, strict=True)) if example else [],
        rasters=list(zip(example.rasters, rasters, strict=True)) if example else [],
        traces=list(zip(example.traces, traces, strict=True)) if example else [],
        pictures=pictures,
        sweeps=sweeps,
        planes=planes,
        discrimination=discrimination,
        embeddings=discrimination.table(embeddings),
        placement=placement,
        losses=quantised.losses(results),
        losses_note=quantised.NOTE,
        tables=tables,
        agreement=agreement,
        text=text,
        labels=tables.labels(results),
        shown=charts.spiking_row(results),
        headlines=headlines(results),
    )


def headlines(results: Results) -> tuple[Headline, ...]:
    """Return the figures at the top of the page: those that are known."""
    ann, snn = charts.first(results, "ann"), charts.spiking_row(results)
    found = []
    if snn is not None:
        found.append(_accuracy(snn, _paired(results, snn), ann))
        found.append(_work(snn, ann))
    if results.comparisons:
        found.append(_energy(results.comparisons))
    if audited := [row for row in results.rows if row.kind == "backend"]:
        found.append(_backends(audited))
    return tuple(found)


def _paired(results: Results, row: Row) -> Difference | None:
    ann = charts.first(results, "ann")
    if ann is None:
        return None
    return next((d for d in results.differences if {d.first, d.second} == {row.id, ann.id}), None)


def _accuracy(row: Row, paired: Difference | None, ann: Row | None) -> Headline:
    if row.accuracy is None:
        return Headline("Accuracy", text.UNKNOWN, row.missing.get("accuracy", ""), "")
    low, high = row.accuracy.ci95
    note = f"on {row.accuracy.n} samples"
    if paired and ann:
        twin = "an ANN that is not by its recipe" if ann.reason else "its ANN twin"
        sign = 1 if paired.first == row.id else -1
        ends = sorted(100 * sign * end for end in paired.ci95)
        note = f"{100 * sign * paired.value:+.1f} points against {twin} [{ends[0]:+.1f}, {ends[1]:+.1f}]"
    name = "Spiking accuracy" if row.kind == "snn" else f"Accuracy on {row.name}"
    span = f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
    return Headline(name, text.percent(row.accuracy.value), span, note, "snn")


def _work(row: Row, ann: Row | None) -> Headline:
    assert row.counts is not None
    c = row.counts.per_sample
    synops = None if c.synops_ac is None or c.synops_mac is None else c.synops_ac + c.synops_mac
    split = f"{text.amount(c.synops_ac)} accumulates, {text.amount(c.synops_mac)} multiply-accumulates"
    note = f"{text.amount(c.neuron_updates)} neuron updates besides"
    if ann is not None and ann.counts is not None:
        note += f"; the ANN does {text.amount(ann.counts.per_sample.dense_macs)} multiply-accumulates"
    return Headline("Operations per sample", text.amount(synops), split, note, "snn")


def _energy(comparisons: Sequence[EnergyComparison]) -> Headline:
    like_for_like = [c for c in comparisons if c.variants and c.cross_technology is None]
    ratios = [v.ratio for c in like_for_like for v in c.variants]
    models = len({c.model for c in like_for_like})
    span = f"over {models} energy models and their constants"
    if not ratios:
        return Headline("ANN ÷ SNN energy", text.UNKNOWN, "no model applies", "", "")
    wins = sum(r > 1 for r in ratios)
    note = f"estimated, not measured; the spiking network needs less in {wins} of {len(ratios)} settings"
    return Headline("ANN ÷ SNN energy", text.ratio_range(ratios), span, note, "ann")


def _backends(rows: Sequence[Row]) -> Headline:
    exact = [row for row in rows if row.agreement and row.agreement.exact]
    ran = [row for row in rows if row.agreement]
    told: dict[str, list[str]] = {"quantised: ": [], "different or not run: ": []}
    for row in rows:
        if row not in exact:
            told["quantised: " if row.status == "quantised" else "different or not run: "].append(row.name)
    others = "; ".join(what + ", ".join(names) for what, names in told.items() if names)
    note = others or "equal at every neuron, step and sample"
    value = f"{len(exact)} of {len(rows)}"
    return Headline("Backends spike for spike", value, f"{len(ran)} ran", note, "backend")
