"""Embeddings of trained runs, measured and drawn: `python -m spikeport.benchmarks.discrimination_of_runs RUN ...`.

Of every modality of every run of `l2-actspikenet` it takes what the fusion or the head reads (`embedding`) and, where
an L2 layer stands in front of it, what that layer got (`rates`), on the test part, and prints a table.

Shape suffixes: N samples, D elements.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from spikeport.benchmarks.discrimination import Discrimination, discrimination, principal
from spikeport.benchmarks.report import charts
from spikeport.benchmarks.report.charts import Chart
from spikeport.benchmarks.report.markdown import table
from spikeport.benchmarks.report.tables import Table
from spikeport.errors import SpikeportError, UsageError
from spikeport.files import new_file

if TYPE_CHECKING:
    from spikeport.train.datasets.base import Split
    from spikeport.train.run import Run

_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up")
_DRAWN = 1000
_HEADINGS = {
    "intra cosine": "intra_cosine",
    "inter cosine": "inter_cosine",
    "intra °": "intra_angle_degrees",
    "inter °": "inter_angle_degrees",
    "nearest °": "nearest_angle_degrees",
    "scatter": "scatter_ratio",
    "silhouette cos": "silhouette_cosine",
    "silhouette euc": "silhouette_euclidean",
    "norm": "norm_mean",
    "norm cv": "norm_variation",
}


@dataclass(frozen=True)
class Embedded:
    """A named set of embeddings with its labels."""

    name: str
    x_ND: NDArray[np.float64]
    labels_N: NDArray[np.int64]

    def measured(self) -> Discrimination:
        """Return its measures."""
        return discrimination(self.x_ND, self.labels_N)


def embeddings_of(run: Run, split: Split, name: str, batch_size: int = 200) -> list[Embedded]:
    """Return what each modality of `run` gives for `split`, called `name, modality, embedding or rates`.

    Raises:
        UsageError: the run's network is another model, or an ANN.
    """
    import torch

    from spikeport.models.l2act.build import L2ActNetwork
    from spikeport.models.l2act.encoders import pooled
    from spikeport.train.loop import batches

    network = run.network
    if not isinstance(network, L2ActNetwork):
        raise UsageError(str(run.path), "its network has no embeddings that are known", "Name a run of l2-actspikenet")
    found: dict[str, list[torch.Tensor]] = {}
    with torch.no_grad():
        for inputs, _ in batches(run.recipe, network, split, batch_size, run.recipe.data.split_seed):
            tensors = network.tensors(inputs)
            for side in network.params.sides:
                rates_ND = pooled(tensors[f"x_{side}"]).mean(0)
                if f"e_{side}" in tensors and network.params.l2.scale != "none":
                    found.setdefault(f"{name}, {side}, rates", []).append(rates_ND)
                    rates_ND = tensors[f"e_{side}"].mean(0)
                found.setdefault(f"{name}, {side}, embedding", []).append(rates_ND)
    return [Embedded(key, torch.cat(parts).double().numpy(), split.labels) for key, parts in found.items()]


def chart(shown: Embedded, index: int) -> Chart:
    """Return the embeddings on their first two principal components, at most a thousand of them, coloured by class."""
    measures, plane = shown.measured(), principal(shown.x_ND)
    points_N2, labels = plane.points_NP[:_DRAWN], shown.labels_N[:_DRAWN]
    data = [{
        "type": "scatter", "mode": "markers", "name": f"class {k}",
        "x": points_N2[labels == k, 0].round(5).tolist(), "y": points_N2[labels == k, 1].round(5).tolist(),
        "marker": {
            "size": 6, "opacity": 0.75, "color": charts.PALETTE[i % len(charts.PALETTE)],
            "symbol": _SYMBOLS[i // len(charts.PALETTE) % len(_SYMBOLS)],
        },
        "hovertemplate": f"class {k}<extra></extra>",
    } for i, k in enumerate(np.unique(labels).tolist())]  # fmt: skip
    layout = charts.base(height=420)
    for axis, share in zip(("xaxis", "yaxis"), plane.explained_P, strict=True):
        layout[axis] |= {"title": {"text": f"component {'1' if axis == 'xaxis' else '2'}, {share:.0%} of the variance"}}
    layout |= {"showlegend": True, "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}}
    layout["margin"]["t"] = 60
    alt = (
        f"{shown.name}: {len(points_N2)} of {len(shown.x_ND)} samples of {measures.classes} classes on two principal "
        f"components ({plane.explained_P.sum():.0%} of the variance); cosine within classes "
        f"{measures.intra_cosine:.3f}, between their centres {measures.inter_cosine:.3f}, silhouette "
        f"{measures.silhouette_cosine:.3f}"
    )
    return Chart(f"chart-embeddings-{index}", alt, data, layout)


def fragment(sets: Sequence[Embedded]) -> Markup:
    """Return figures and table as HTML for a page that has plotly; each figure has its text alternative."""
    parts = []
    for index, shown in enumerate(sets):
        drawn = chart(shown, index)
        figure = json.dumps({"data": drawn.data, "layout": drawn.layout}, allow_nan=False).replace("<", "\\u003c")
        parts.append(
            f'<figure><div class="plot" id="{drawn.id}" role="img" aria-label="{escape(drawn.alt)}" '
            f'style="min-height: {drawn.height}px"></div><figcaption>{escape(shown.name)}</figcaption>'
            f'<script>(function () {{ const f = {figure}; Plotly.react("{drawn.id}", f.data, f.layout, '
            f"{{displayModeBar: false, responsive: true}}); }})();</script></figure>"
        )
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in ("embeddings", *_HEADINGS))
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for name, cells in _cells({shown.name: shown.measured() for shown in sets}).items()
    )
    measures = (
        f"<table><caption>Feature discrimination</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    return Markup("".join((*parts, measures)))


def markdown(measured: Mapping[str, Discrimination]) -> str:
    """Return the measures as a Markdown table."""
    rows = tuple((name, *cells) for name, cells in _cells(measured).items())
    return table(Table(("embeddings", *_HEADINGS), rows)) + "\n"


def _cells(measured: Mapping[str, Discrimination]) -> dict[str, list[str]]:
    return {name: [f"{getattr(of, key):.3f}" for key in _HEADINGS.values()] for name, of in measured.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the runs named and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measures")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the figures as a page")
    args = parser.parse_args(arguments)
    try:
        sets = [shown for path in args.runs for shown in _opened(path)]
        measured = {shown.name: shown.measured() for shown in sets}
        if args.json:
            with new_file(args.json) as aside:
                aside.write_text(json.dumps({n: of.model_dump() for n, of in measured.items()}, indent=2) + "\n")
        if args.html:
            _write_page(sets, args.html)
    except SpikeportError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(markdown(measured))
    return 0


def _opened(path: Path) -> list[Embedded]:
    from spikeport.train.run import load_run
    from spikeport.train.samples import open_dataset

    run = load_run(path)
    return embeddings_of(run, open_dataset(run.recipe).split("test"), path.name)


def _write_page(sets: Sequence[Embedded], path: Path) -> None:
    import plotly.offline

    css = (Path(charts.__file__).parent / "page.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Feature discrimination · spikeport</title>'
        f"<style>{css}</style><script>{plotly.offline.get_plotlyjs()}</script></head>"
        f"<body><main><h1>Feature discrimination</h1>{fragment(sets)}</main></body></html>"
    )
    with new_file(path) as aside:
        aside.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
