"""Sweeps as pictures: accuracy against operations, and against estimated energy.

Points on other samples, or the same ones with other noise, share no front: that one is right more often on easier data
says nothing of what a network is worth. The front joins rows on the data of the unchanged ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spikeport.benchmarks.report import text
from spikeport.benchmarks.report.charts import COLOURS, Chart, base
from spikeport.benchmarks.report.matching import networks
from spikeport.benchmarks.report.tables import labels
from spikeport.benchmarks.results import Results, Row

Cost = Callable[[Row], float | None]
Point = tuple[Row, float, float]
DASHES = ("solid", "dash", "dot", "dashdot")


def charts(results: Results) -> tuple[Chart, ...]:
    """Return accuracy against operations, and against energy by each model of the summary; none without a sweep."""
    if not any(row.swept for row in results.rows):
        return ()
    models = {e.model: e.title for row in results.rows if row.swept for e in row.energy if e.summary}
    title = "operations (ACs and MACs) per sample"
    found = [_chart(results, "chart-pareto-operations", title, _operations, text.amount)]
    for index, (model, about) in enumerate(models.items()):
        title = f"estimated energy per sample in pJ, {model} ({about})"
        found.append(_chart(results, f"chart-pareto-energy-{index}", title, _energy_by(model), text.picojoules))
    return tuple(chart for chart in found if chart is not None)


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (cost, accuracy) that no other beats in both, cheapest first."""
    best: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or value > best[-1][1]:
            best.append((cost, value))
    return best


def _chart(results: Results, name: str, title: str, cost: Cost, spoken: Callable[[float], str]) -> Chart | None:
    label = labels(results)
    rows = [row for row in results.rows if not _repeats(row, results)]
    known = [(row, c, 100 * row.accuracy.value) for row in rows if row.accuracy and (c := cost(row))]
    if not known:
        return None
    several = len(networks(results)) > 1
    data: list[dict[str, Any]] = []
    series: dict[tuple[str, str, str], list[Point]] = {}
    for point in known:
        row = point[0]
        # A swept row's id is that of the unchanged one, and its point.
        series.setdefault((_unswept(row, several), row.kind, next(iter(row.swept), "")), []).append(point)
    for index, ((of, kind, sweep), found) in enumerate(series.items()):
        found = sorted(found, key=lambda p: next(iter(p[0].swept.values()), 0.0))
        data.append({
            "type": "scatter", "mode": "lines+markers" if sweep else "markers", "name": f"{of}, {sweep or 'unchanged'}",
            "x": [c for _, c, _ in found], "y": [a for _, _, a in found],
            "text": [f"{label[row.id]}: {a:.1f} %, {spoken(c)}" for row, c, a in found],
            "hovertemplate": "%{text}<extra></extra>",
            "line": {"color": COLOURS[kind], "width": 1.5, "dash": DASHES[index % len(DASHES)]},
            "marker": {"color": COLOURS[kind], "size": 9, "symbol": index % 8},
        })  # fmt: skip
    fronts = _fronts(known)
    for about, best in fronts.items():
        called = "best at its cost" if len(fronts) == 1 else f"best at its cost, {about}"
        data.append({
            "type": "scatter", "mode": "lines", "name": called, "x": [c for c, _ in best], "y": [a for _, a in best],
            "line": {"color": "var(--muted)", "width": 1, "shape": "hv"}, "hoverinfo": "skip",
        })  # fmt: skip
    layout = base(height=420)
    layout["xaxis"] |= {"type": "log", "title": {"text": title}}
    layout["yaxis"] |= {"title": {"text": "correct, %"}}
    layout |= {"showlegend": True, "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}}
    layout["margin"]["t"] = 60
    points = "; ".join(f"{label[row.id]} {a:.1f} % at {spoken(c)}" for row, c, a in known)
    return Chart(name, f"Accuracy against {title}: {points}", data, layout)


def _unswept(row: Row, several: bool) -> str:
    """Return the row's id without its condition, and without its network unless there are several."""
    network, _, rest = row.id.rpartition("/")
    name = rest.partition("@")[0]
    return f"{network}/{name}" if several else name


def _fronts(known: list[Point]) -> dict[str, list[tuple[float, float]]]:
    """Return the front of each set of data that an unchanged row is scored on, by that set in words."""
    sets: dict[str, list[Point]] = {}
    for point in known:
        sets.setdefault(_data(point[0]), []).append(point)
    return {
        about: front([(c, a) for _, c, a in found])
        for about, found in sets.items()
        if not all(row.swept for row, _, _ in found)
    }


def _data(row: Row) -> str:
    """Return the data that `row` is scored on, with their noise; of no noise, nothing is said."""
    told = [k for k, v in row.condition.items() if k.partition(".")[0] == "snr_db" or (k.startswith("noise.") and v)]
    noise = "".join(f", {name} {row.condition[name]}" for name in sorted(told))
    return f"{row.dataset.samples} samples of {row.dataset.name} ({row.dataset.split}){noise}"


def _repeats(row: Row, results: Results) -> bool:
    """Whether it is a backend that runs the snnTorch network spike for spike, which is drawn already."""
    exact = row.agreement is not None and row.agreement.exact
    return row.kind == "backend" and exact and any(other.kind == "snn" for other in results.rows)


def _operations(row: Row) -> float | None:
    if row.counts is None:
        return None
    c = row.counts.per_sample
    if row.kind == "ann":
        return c.dense_macs
    return None if c.synops_ac is None or c.synops_mac is None else c.synops_ac + c.synops_mac


def _energy_by(model: str) -> Cost:
    return lambda row: next((e.per_sample_pj for e in row.energy if e.model == model), None)
