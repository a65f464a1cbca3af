"""Pages that open offline: everything, plotly included, is inside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from spikeport.benchmarks.report.charts import Chart

FOLDER = Path(__file__).parent


def render(template: str, title: str, drawn: Sequence[Chart], **values: object) -> str:
    """Return the page that `template` makes of `values`; one without charts carries no plotly."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template(template).render(
        title=title,
        css=_source("page.css"),
        script=_source("page.js"),
        sorting=_source("sorting.js"),
        plotly=_plotly() if drawn else None,
        figures=_json(drawn) if drawn else None,
        **values,
    )


def _source(name: str) -> Markup:
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


def _plotly() -> Markup:
    import plotly.offline

    return Markup(plotly.offline.get_plotlyjs())


def _json(drawn: Sequence[Chart]) -> Markup:
    """Return the figures as JSON that cannot close its script element."""
    content = json.dumps({c.id: {"data": c.data, "layout": c.layout} for c in drawn}, allow_nan=False)
    return Markup(content.replace("<", "\\u003c"))
