"""How well embeddings tell classes apart: a table of the measures, and a picture of each set of embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spikeport.benchmarks.blocks import Embeddings
from spikeport.benchmarks.report import charts
from spikeport.benchmarks.report.charts import PALETTE, Chart
from spikeport.benchmarks.report.tables import Table, labels
from spikeport.benchmarks.results import Results, Row

TITLE = "How well embeddings tell classes apart"
NOTE = (
    "Of each modality what the fusion or the head reads (embedding) and, where an L2 layer stands in front of that, "
    "what this layer got (rates). Intra: from a sample to the centre of its class; inter: between the centres of two "
    "classes, nearest: the smallest of these angles; scatter: squared distances within classes over those between; "
    "silhouette (Rousseeuw 1987) by cosine and by Euclidean distance; cv: the standard deviation of the norms over "
    "their mean. Means over classes, pairs of classes or samples; silent samples are left out."
)
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up")
MEASURES = {
    "intra cosine ↑": "intra_cosine",
    "inter cosine ↓": "inter_cosine",
    "intra ° ↓": "intra_angle_degrees",
    "inter ° ↑": "inter_angle_degrees",
    "nearest ° ↑": "nearest_angle_degrees",
    "scatter ↓": "scatter_ratio",
    "silhouette, cosine ↑": "silhouette_cosine",
    "silhouette, Euclidean ↑": "silhouette_euclidean",
    "norm": "norm_mean",
    "norm cv": "norm_variation",
}
Sets = Mapping[str, Embeddings]


def sets(results: Results, label: Mapping[str, str] | None = None) -> Sets:
    """Return all embeddings by row, modality and kind, but for rows under a swept condition.

    Args:
        results: whose.
        label: what to call each row, by id; by default as other tables do.
    """
    label = label or labels(results)
    return dict(named for row in results.rows if not row.swept for named in _of_row(row, label[row.id]))


def _of_row(row: Row, label: str) -> Iterator[tuple[str, Embeddings]]:
    for modality, kinds in (row.discrimination or {}).items():
        for kind, found in kinds.items():
            yield f"{label}, {modality}, {kind}", found


def table(found: Sets) -> Table:
    """Return the measures, a line for each set."""
    header = ("embeddings", "samples", "silent", *MEASURES)
    return Table(header, tuple((name, *_cells(one)) for name, one in found.items()))


def _cells(one: Embeddings) -> tuple[str, ...]:
    return (str(one.samples), str(one.silent), *(f"{getattr(one, key):.3f}" for key in MEASURES.values()))


def pictures(found: Sets) -> Sequence[tuple[str, Chart]]:
    """Return each set on its first two principal components, coloured by class."""
    return [(name, _chart(name, one, index)) for index, (name, one) in enumerate(found.items())]


def _chart(name: str, one: Embeddings, index: int) -> Chart:
    data = []
    for i, k in enumerate(sorted(set(one.plane.labels))):
        points = [point for point, label in zip(one.plane.points, one.plane.labels, strict=True) if label == k]
        symbol = SYMBOLS[i // len(PALETTE) % len(SYMBOLS)]
        data.append({
            "type": "scatter", "mode": "markers", "name": str(k),
            "x": [x for x, _ in points], "y": [y for _, y in points],
            "marker": {"size": 6, "opacity": 0.75, "color": PALETTE[i % len(PALETTE)], "symbol": symbol},
            "hovertemplate": f"class {k}<extra></extra>",
        })  # fmt: skip
    layout = charts.base(height=420)
    for axis, number, share in zip(("xaxis", "yaxis"), (1, 2), one.plane.explained, strict=True):
        layout[axis] |= {"title": {"text": f"component {number}, {share:.0%} of the variance"}}
    legend = {"title": {"text": "class"}, "orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}
    layout |= {"showlegend": True, "legend": legend}
    layout["margin"]["t"] = 60
    alt = (
        f"{name}: {len(one.plane.points)} samples of {one.classes} classes on two principal components "
        f"({sum(one.plane.explained):.0%} of the variance); cosine within classes {one.intra_cosine:.3f}, between "
        f"their centres {one.inter_cosine:.3f}, silhouette {one.silhouette_cosine:.3f}"
    )
    return Chart(f"chart-embeddings-{index}", alt, data, layout)
