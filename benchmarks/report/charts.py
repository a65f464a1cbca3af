"""The page's charts as plotly figures in plain JSON.

Colours are names of CSS variables, `var(--snn)`; the page's script puts in what the light or dark theme says.
Each chart has a sentence for readers who cannot see it, and stands above a table with the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from spikeport.benchmarks.blocks import Heatmap, NeuronNode, Raster, Trace
from spikeport.benchmarks.report import text
from spikeport.benchmarks.report.tables import Named, kind_name, named
from spikeport.benchmarks.results import Results, Row

COLOURS = {"ann": "var(--ann)", "snn": "var(--snn)", "backend": "var(--backend)"}
# Distinct on the light and on the dark page.
PALETTE = ("#1f83b4", "#c8762a", "#3c9d58", "#b2504f", "#8565b8", "#8a7a2f", "#c05a96", "#5d8a8a", "#7f7f7f", "#5a78d1")
ROW_PX = 44
RASTER_PX = 190


@dataclass(frozen=True)
class Chart:
    """A plotly figure with its text alternative."""

    id: str
    alt: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]

    @property
    def height(self) -> int:
        """Height in pixels, reserved before the script runs."""
        return int(self.layout["height"])


def accuracy(results: Results) -> Chart | None:
    """Dots with 95 % intervals, one line per row."""
    return accuracy_of(named(results))


def accuracy_of(rows: Sequence[Named]) -> Chart | None:
    """Dots with 95 % intervals, one line for each of these rows that was scored."""
    data, spoken = [], {}
    for label, row in rows:
        if row.accuracy is None:
            continue
        value, (low, high) = row.accuracy.value, row.accuracy.ci95
        spoken[label] = f"{label} {text.accuracy(row.accuracy)}"
        data.append({
            "type": "scatter", "mode": "markers", "x": [100 * value], "y": [label],
            "error_x": {
                "type": "data", "symmetric": False, "array": [100 * (high - value)],
                "arrayminus": [100 * (value - low)], "color": COLOURS[row.kind], "thickness": 2, "width": 6,
            },
            "marker": {"color": COLOURS[row.kind], "size": 11},
            "hovertemplate": f"{text.accuracy(row.accuracy)} %<extra></extra>",
        })  # fmt: skip
    if not data:
        return None
    alt = "Accuracy in percent: " + "; ".join(spoken.values())
    return Chart("chart-accuracy", alt, data, _horizontal(list(spoken), "correct, %"))


def activity(results: Results) -> Chart | None:
    """Spikes per neuron and step of every spiking node, of the SNN or else the first backend that ran."""
    row = spiking_row(results)
    if row is None or row.counts is None:
        return None
    nodes = {n: c for n, c in row.counts.per_node.items() if isinstance(c, NeuronNode) and c.rate is not None}
    if not nodes:
        return None
    rates = [c.rate or 0.0 for c in nodes.values()]
    data = [{
        "type": "bar", "orientation": "h", "x": rates, "y": list(nodes), "marker": {"color": "var(--snn)"},
        "text": [f"{rate:.3f}" for rate in rates], "textposition": "outside", "cliponaxis": False, "width": 0.55,
        "hovertemplate": "%{y}: %{x:.4f}<extra></extra>",
    }]  # fmt: skip
    alt = "Spikes per neuron and step: " + "; ".join(f"{n} {r:.4f}" for n, r in zip(nodes, rates, strict=True))
    layout = _horizontal(list(nodes), "spikes per neuron and step")
    layout["xaxis"] |= {"rangemode": "tozero", "range": [0, 1.18 * max(*rates, 1e-9)]}
    return Chart("chart-activity", alt, data, layout)


def energy(results: Results) -> Chart | None:
    """Ranges on a log axis: for each model one bar for the ANN and one for the SNN, a dot at the nominal."""
    rows = (first(results, "ann"), spiking_row(results))
    return energy_of([(kind_name(row), row) for row in rows if row is not None])


def energy_of(named_rows: Sequence[Named]) -> Chart | None:
    """Ranges on a log axis: for each model one bar for each of these rows, a dot at the nominal."""
    rows = [(name, row) for name, row in named_rows if row.energy]
    models = list(dict.fromkeys(e.model for _, row in rows for e in row.energy if e.low_pj))
    if not models:
        return None
    data, spoken = [], []
    gap = min(0.34, 0.8 / len(rows))
    for index, (name, row) in enumerate(rows):
        found = [e for e in row.energy if e.low_pj and e.per_sample_pj and e.high_pj]
        offset = gap * ((len(rows) - 1) / 2 - index)
        places = [len(models) - 1 - models.index(e.model) + offset for e in found]
        again = any(other.kind == row.kind for _, other in rows[:index])
        opacity, symbol = (0.25, "diamond-open") if again else (0.45, "circle")
        hover = [f"{name}, {e.model}: {text.energy_range(e)}" for e in found]
        spoken += hover
        bars: list[Any] = []
        heights: list[Any] = []
        for e, y in zip(found, places, strict=True):
            bars += [e.low_pj, e.high_pj, None]
            heights += [y, y, None]
        line = {"color": COLOURS[row.kind], "width": 9}
        data.append({
            "type": "scatter", "mode": "lines", "x": bars, "y": heights, "line": line, "opacity": opacity,
            "name": name, "legendgroup": name, "showlegend": False, "hoverinfo": "skip",
        })  # fmt: skip
        data.append({
            "type": "scatter", "mode": "markers", "x": [e.per_sample_pj for e in found], "y": places,
            "marker": {"color": COLOURS[row.kind], "size": 12, "symbol": symbol},
            "name": name, "legendgroup": name, "text": hover, "hovertemplate": "%{text}<extra></extra>",
        })  # fmt: skip
    layout = base(height=90 + (2 * ROW_PX + 16 * max(0, len(rows) - 2)) * len(models))
    layout["xaxis"] |= {
        "type": "log",
        "title": {"text": "per sample, estimated"},
        **_energy_ticks([row for _, row in rows]),
    }
    layout["yaxis"] |= {
        "tickvals": list(range(len(models))), "ticktext": models[::-1], "range": [-0.6, len(models) - 0.4],
        "showgrid": False, "zeroline": False,
    }  # fmt: skip
    layout |= {"showlegend": True, "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}}
    layout["margin"]["t"] = 36
    alt = "Estimated energy per sample, low to high: " + "; ".join(spoken)
    return Chart("chart-energy", alt, data, layout)


def _energy_ticks(rows: list[Row]) -> dict[str, Any]:
    """Decades labelled in a fitting unit, and a range with room for the smallest and the largest bar."""
    values = [v for row in rows for e in row.energy for v in (e.low_pj, e.high_pj) if v]
    low, high = log10(min(values)) - 0.15, log10(max(values)) + 0.15
    decades = [10.0**k for k in range(ceil(low), floor(high) + 1)]
    return {"tickvals": decades, "ticktext": [text.picojoules(d) for d in decades], "range": [low, high]}


def heatmap(picture: Heatmap, index: int) -> Chart:
    """An input as a picture."""
    rows, columns = len(picture.values), len(picture.values[0])
    data = [{
        "type": "heatmap", "z": [list(row) for row in picture.values], "showscale": False,
        "colorscale": [[0, "var(--low)"], [1, "var(--high)"]],
        "hovertemplate": f"{picture.x_label} %{{x}}, {picture.y_label} %{{y}}: %{{z:.3g}}<extra></extra>",
    }]  # fmt: skip
    layout = base(height=300)
    layout["xaxis"] |= {"title": {"text": picture.x_label}, "showgrid": False, "zeroline": False}
    layout["yaxis"] |= {"title": {"text": picture.y_label}, "showgrid": False, "zeroline": False}
    if picture.origin == "upper":
        layout["yaxis"] |= {"autorange": "reversed", "scaleanchor": "x", "constrain": "domain"}
        layout["xaxis"] |= {"constrain": "domain"}
    alt = f"{picture.name}: a picture of {rows} rows ({picture.y_label}) and {columns} columns ({picture.x_label})."
    return Chart(f"chart-input-{index}", alt, data, layout)


def raster(spikes: Raster, index: int) -> Chart:
    """Spikes of one node over steps, each a dash as wide as most of its step at any size of the page."""
    steps: list[float | None] = []
    neurons: list[int | None] = []
    for step, neuron in spikes.events:
        steps += [step - 0.35, step + 0.35, None]
        neurons += [neuron, neuron, None]
    data = [{
        "type": "scatter", "mode": "lines", "x": steps, "y": neurons, "connectgaps": False,
        "line": {"color": "var(--snn)", "width": 1.3}, "hovertemplate": "neuron %{y}<extra></extra>",
    }]  # fmt: skip
    layout = base(height=RASTER_PX)
    layout["xaxis"] |= {"title": {"text": "step"}, "range": [-0.7, spikes.timesteps - 0.3], "zeroline": False}
    layout["yaxis"] |= {"title": {"text": "neuron"}, "range": [-1, spikes.neurons], "zeroline": False}
    # The rasters stand below each other: a fixed margin keeps their steps in line.
    layout["yaxis"] |= {"automargin": False}
    layout["margin"]["l"] = 64
    alt = f"{spikes.node}: {len(spikes.events)} spikes of {spikes.neurons} neurons in {spikes.timesteps} steps."
    return Chart(f"chart-raster-{index}", alt, data, layout)


def trace(shown: Trace, index: int) -> Chart:
    """Membranes of a few neurons before each reset, and the threshold as a dotted line."""
    steps = list(range(len(shown.values[0])))
    dashes = ("solid", "dash", "dot")
    data = [{
        "type": "scatter", "mode": "lines+markers", "x": steps, "y": list(values), "name": f"neuron {neuron}",
        "line": {"color": "var(--snn)", "width": 1.6, "dash": dashes[i % len(dashes)]}, "marker": {"size": 4},
        "hovertemplate": f"neuron {neuron}, step %{{x}}: %{{y:.4g}}<extra></extra>",
    } for i, (neuron, values) in enumerate(zip(shown.neurons, shown.values, strict=True))]  # fmt: skip
    levels = sorted(set(shown.thresholds))
    data += [{
        "type": "scatter", "mode": "lines", "x": [-0.5, len(steps) - 0.5], "y": [level, level], "name": "threshold",
        "line": {"color": "var(--muted)", "width": 1}, "hoverinfo": "skip",
    } for level in levels]  # fmt: skip
    layout = base(height=RASTER_PX + 40)
    layout["xaxis"] |= {"title": {"text": "step"}, "range": [-0.7, len(steps) - 0.3], "zeroline": False}
    layout["yaxis"] |= {"title": {"text": "membrane"}, "automargin": False}
    layout["margin"] |= {"l": 64, "t": 32}
    layout |= {"showlegend": True, "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}}
    said = ", ".join(
        f"neuron {n} crosses it in {sum(v > level for v in values)} steps and ends at {values[-1]:.3g}"
        for n, values, level in zip(shown.neurons, shown.values, shown.thresholds, strict=True)
    )
    alt = f"Membranes of {shown.node}, threshold {', '.join(f'{level:.3g}' for level in levels)}: {said}."
    return Chart(f"chart-trace-{index}", alt, data, layout)


def first(results: Results, kind: str) -> Row | None:
    """Return the first row of that kind that was counted."""
    return next((row for row in results.rows if row.kind == kind and row.counts), None)


def spiking_row(results: Results) -> Row | None:
    """Return the SNN's row, or else the first backend's that was counted."""
    return first(results, "snn") or first(results, "backend")


def _horizontal(names: list[str], title: str) -> dict[str, Any]:
    layout = base(height=70 + ROW_PX * len(names))
    layout["xaxis"] |= {"title": {"text": title}}
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False, "type": "category"}
    return layout


def base(height: int) -> dict[str, Any]:
    """Return the layout that all charts share."""
    axis = {
        "gridcolor": "var(--line)", "linecolor": "var(--line)", "zerolinecolor": "var(--line)", "automargin": True,
        "tickfont": {"color": "var(--muted)"}, "fixedrange": True,
    }  # fmt: skip
    return {
        "height": height, "margin": {"l": 8, "r": 24, "t": 8, "b": 40}, "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "closest",
        "font": {"family": "var(--font)", "size": 13, "color": "var(--ink)"},
        "xaxis": dict(axis), "yaxis": dict(axis),
    }  # fmt: skip
