"""A study's accuracy over the ratio of noise, as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from spikeport.benchmarks.report import charts, page
from spikeport.benchmarks.report.charts import PALETTE, Chart
from spikeport.benchmarks.studies.stored import CLEAN, Outcome
from spikeport.files import new_file

DASHES = ("solid", "dash", "dot")
Outcomes = Mapping[str, Mapping[int, Outcome]]


def write_curves(title: str, outcomes: Outcomes, path: Path) -> None:
    """Write the page: aside first, then renamed over `path`."""
    content = render(title, outcomes)
    with new_file(path) as aside:
        aside.write_text(content, encoding="utf-8")


def render(title: str, outcomes: Outcomes) -> str:
    """Return the page."""
    drawn = curves(outcomes)
    return page.render("curves.html.j2", title, drawn, charts=drawn)


def curves(outcomes: Outcomes) -> tuple[Chart, ...]:
    """Return one chart for each place of noise: mean over seeds by variant, bars of one sd."""
    places = dict.fromkeys(
        score.where for of in outcomes.values() for o in of.values() for score in o.scores if score.where != CLEAN
    )
    return tuple(_chart(outcomes, where, index) for index, where in enumerate(places))


def _chart(outcomes: Outcomes, where: str, index: int) -> Chart:
    data, spoken = [], []
    for number, (variant, of) in enumerate(outcomes.items()):
        points = _points(of, where)
        if not points:
            continue
        colour = PALETTE[number % len(PALETTE)]
        dash = DASHES[number // len(PALETTE) % len(DASHES)]
        data.append(_line(variant, points, colour, dash))
        spoken.append(f"{variant} " + ", ".join(f"{mean:.1f} % at {level:g} dB" for level, mean, _ in points))
    layout = charts.base(height=420)
    layout["xaxis"] |= {"title": {"text": "signal to noise at test time, dB"}}
    layout["yaxis"] |= {"title": {"text": "correct, %"}}
    layout |= {"showlegend": True, "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}}
    layout["margin"]["t"] = 60
    return Chart(f"chart-noise-{index}", f"Noise on {where}: " + "; ".join(spoken), data, layout)


def _points(of: Mapping[int, Outcome], where: str) -> list[tuple[float, float, float]]:
    """Return (dB, mean and sd of the accuracies over seeds in percent), by dB."""
    found: dict[float, list[float]] = {}
    for score in (s for o in of.values() for s in o.scores if s.where == where):
        if score.snr_db is not None:
            found.setdefault(score.snr_db, []).append(100 * score.accuracy)
    return [(level, fmean(v), stdev(v) if len(v) > 1 else 0.0) for level, v in sorted(found.items())]


def _line(variant: str, points: list[tuple[float, float, float]], colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines+markers", "name": variant,
        "x": [level for level, _, _ in points], "y": [mean for _, mean, _ in points],
        "error_y": {"type": "data", "array": [sd for _, _, sd in points], "color": colour, "thickness": 1, "width": 4},
        "line": {"color": colour, "width": 1.6, "dash": dash}, "marker": {"color": colour, "size": 7},
        "hovertemplate": f"{variant}: %{{y:.1f}} % at %{{x:g}} dB<extra></extra>",
    }  # fmt: skip
