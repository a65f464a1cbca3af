"""Measures of feature discrimination, by hand and against scikit-learn.

Shape suffixes: N samples, D elements.
"""

from __future__ import annotations

import json
from math import acos, degrees, sqrt
from pathlib import Path

import bench_results as bench
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeport.benchmarks.blocks import Embeddings, Plane
from spikeport.benchmarks.discrimination import discrimination, principal, silhouette
from spikeport.benchmarks.embeddings import NONE_KNOWN, embeddings
from spikeport.benchmarks.older import OLDER
from spikeport.benchmarks.report import render_comparison, render_html, render_markdown, write_comparison
from spikeport.benchmarks.report.discrimination import TITLE
from spikeport.benchmarks.results import Results, Row, read_results, write_results
from spikeport.errors import ArtefactError, UsageError
from spikeport.models.network import SpikingNetwork

# Class 0 on the x axis; class 1 at 45 and 135 degrees, so that its centre is the y axis.
E = np.array([[1.0, 0], [3, 0], [1, 1], [-2, 2]])
Y = np.array([0, 0, 1, 1])


def test_cosines_and_angles_by_hand() -> None:
    found = discrimination(E, Y)
    assert found.intra_cosine == pytest.approx((1 + sqrt(0.5)) / 2)
    assert found.inter_cosine == pytest.approx(0, abs=1e-12)
    assert found.intra_angle_degrees == pytest.approx((0 + 45) / 2)
    assert found.inter_angle_degrees == found.nearest_angle_degrees == pytest.approx(90)


def test_scatter_by_hand() -> None:
    """Means (2, 0), (-0.5, 1.5) and (0.75, 0.75): within 1 + 1 + 2.5 + 2.5, between 4 times 1.25^2 + 0.75^2."""
    assert discrimination(E, Y).scatter_ratio == pytest.approx(7 / (4 * (1.25**2 + 0.75**2)))


def test_the_nearest_pair_is_the_smallest_angle() -> None:
    found = discrimination([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]], [0, 1, 2])
    assert found.nearest_angle_degrees == pytest.approx(degrees(acos(0.8)))
    assert found.inter_angle_degrees == pytest.approx((90 + degrees(acos(0.6)) + degrees(acos(0.8))) / 3)


def test_silhouettes_by_hand() -> None:
    """On a line: a = 1, 1, 2, 2 and b = (9 + 11) / 2, (8 + 10) / 2, (9 + 8) / 2, (11 + 10) / 2."""
    line = [[0.0], [1], [9], [11]]
    widths = [1 - 1 / 10, 1 - 1 / 9, 1 - 2 / 8.5, 1 - 2 / 10.5]
    assert silhouette(line, Y, "euclidean") == pytest.approx(np.mean(widths))
    # Of directions at 0, 0, 45 and 135 degrees: the distances are 1 - cosine.
    near, far = 1 - sqrt(0.5), 1 + sqrt(0.5)
    widths = [1.0, 1.0, (near - 1) / 1, 1 - 1 / far]
    assert silhouette(E, Y, "cosine") == pytest.approx(np.mean(widths))


def test_a_sample_alone_in_its_class_counts_as_zero() -> None:
    assert silhouette([[0.0], [1], [5]], [0, 0, 1], "euclidean") == pytest.approx((1 - 1 / 5 + 1 - 1 / 4 + 0) / 3)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_silhouettes_are_scikit_learns(metric: str) -> None:
    """More samples than are taken at a time."""
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 5, 1100)
    e_ND = draw.standard_normal((1100, 6)) + labels[:, None]
    expected = metrics.silhouette_score(e_ND, labels, metric=metric)
    assert silhouette(e_ND, labels, metric) == pytest.approx(expected, abs=1e-10)  # type: ignore[arg-type]


def test_principal_components_by_hand() -> None:
    """Points on y = 2x and a small spread across."""
    along, across = np.array([1, 2]) / sqrt(5), np.array([2, -1]) / sqrt(5)
    e_ND = 7 + np.array([3 * along, -3 * along, across, -across])
    found = principal(e_ND)
    np.testing.assert_allclose(found.explained_P, [0.9, 0.1])
    np.testing.assert_allclose(found.points_NP, [[3, 0], [-3, 0], [0, 1], [0, -1]], atol=1e-12)


def test_principal_components_are_scikit_learns() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    e_ND = np.random.default_rng(1).standard_normal((50, 4)) * [1, 5, 2, 0.1]
    theirs = decomposition.PCA(2).fit(e_ND)
    found = principal(e_ND)
    np.testing.assert_allclose(found.explained_P, theirs.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(found.points_NP), np.abs(theirs.transform(e_ND)), atol=1e-9)


@given(st.integers(0, 100))
def test_an_l2_layer_changes_lengths_and_no_directions(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rates_ND, labels = draw.random((30, 5)) + 0.01, np.arange(30) % 3
    unit_ND = rates_ND / np.linalg.norm(rates_ND, axis=1, keepdims=True)
    before, after = discrimination(rates_ND, labels), discrimination(4 * unit_ND, labels)
    for name in ("intra_cosine", "inter_cosine", "nearest_angle_degrees", "silhouette_cosine"):
        assert getattr(before, name) == pytest.approx(getattr(after, name), abs=1e-6)
    assert after.norm_mean == pytest.approx(4)
    assert after.norm_variation < 1e-9 < before.norm_variation


def test_silent_samples_are_left_out_and_counted() -> None:
    found = discrimination(np.vstack([E, np.zeros((3, 2))]), [*Y, 0, 1, 1])
    assert (found.samples, found.silent) == (4, 3)
    assert found.intra_cosine == discrimination(E, Y).intra_cosine


@pytest.mark.parametrize(
    ("embeddings", "labels", "said"),
    [
        (np.zeros((4, 2)), Y, "0 of 4 are not silent"),
        (E, [0, 0, 0, 0], "two classes"),
        (E, [0, 1], "not .N, D. with N labels"),
        (np.full((4, 2), np.nan), Y, "NaN"),
        ([[1.0, 0], [-1, 0], [0, 1], [0, 1]], Y, "class 0 cancel"),
        ([[1.0, 0], [3, 0], [2, 0], [2, 0]], Y, "the same mean"),
    ],
)
def test_what_cannot_be_measured_is_refused(embeddings: object, labels: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        discrimination(embeddings, labels)  # type: ignore[arg-type]


def test_equal_embeddings_have_no_components() -> None:
    with pytest.raises(UsageError, match="all are the same"):
        principal(np.ones((4, 3)))
    with pytest.raises(UsageError, match="3 components"):
        principal(E, 3)


def test_embeddings_of_a_network() -> None:
    """The rates before the L2 layer and the embeddings behind it; rates alone without one; none of another model."""
    import torch
    from l2act_nets import SHAPES, network

    draw = torch.Generator().manual_seed(0)
    x = {name: (torch.rand(6, 7, *shape, generator=draw) < 0.5).float() for name, shape in SHAPES.items()}
    y = np.arange(7) % 4
    net = network(threshold=0.2)
    with torch.no_grad():
        tensors = net.tensors(x)
    found = embeddings(net, tensors, y)
    assert isinstance(found, dict)
    assert {side: list(kinds) for side, kinds in found.items()} == {s: ["rates", "embedding"] for s in SHAPES}
    rates_ND = tensors["x_audio"].mean(0).double().numpy()
    for kind, x_ND in (("rates", rates_ND), ("embedding", tensors["e_audio"][0].double().numpy())):
        one = found["audio"][kind]
        assert one.model_dump(exclude={"plane"}) == pytest.approx(
            discrimination(x_ND, y).model_dump(), rel=1e-5, abs=1e-6
        )
        np.testing.assert_allclose(one.plane.points, principal(x_ND).points_NP, atol=1e-4)
        assert one.plane.labels == tuple(y)
    without = network(threshold=0.2, l2={"scale": "none"})
    with torch.no_grad():
        plain = embeddings(without, without.tensors(x), y)
    assert isinstance(plain, dict)
    assert [list(kinds) for kinds in plain.values()] == [["embedding"]] * 2
    assert embeddings(SpikingNetwork(net.segments, net.input_names), tensors, y) == NONE_KNOWN
    assert (
        embeddings(net, tensors, 0 * y)
        == "visual embeddings: two classes are needed: 7 of 7 are not silent, of 1 class"
    )


def row(name: str, *kinds: str) -> Row:
    """A row with embeddings E, twice as long for each further kind."""

    def one(scale: float) -> Embeddings:
        plane = principal(scale * E)
        first, second = plane.explained_P.tolist()
        drawn = Plane(explained=(first, second), points=tuple(map(tuple, plane.points_NP.tolist())), labels=tuple(Y))
        return Embeddings(**discrimination(scale * E, Y).model_dump(), plane=drawn)

    found = {"audio": {kind: one(2.0**i) for i, kind in enumerate(kinds)}}
    missing = {name: why for name, why in bench.NOT_MEASURED.items() if name != "discrimination"}
    return bench.row(name, "snn", bench.snn(), discrimination=found, missing=missing)


def results(*rows: Row) -> Results:
    return bench.results(rows=rows, comparisons=(), differences=())


def test_the_reports_say_the_same_in_words_figures_and_pictures(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_results(results(row("<snn>", "rates", "embedding")), path)
    read = read_results(path)
    markdown, page = render_markdown(read), render_html(read)
    measures = discrimination(E, Y)
    assert f"| <snn>, audio, rates | 4 | 0 | {measures.intra_cosine:.3f} |" in markdown
    assert f"| {measures.scatter_ratio:.3f} |" in markdown
    assert f"| {2 * measures.norm_mean:.3f} |" in markdown
    assert 'aria-label="&lt;snn&gt;, audio, embedding: 4 samples of 2 classes' in page
    assert f"cosine within classes {measures.intra_cosine:.3f}" in page
    figures = bench.figures(page)
    drawn = [figures[f"chart-embeddings-{i}"]["data"] for i in range(2)]
    assert [[len(trace["x"]) for trace in data] for data in drawn] == [[2, 2], [2, 2]]
    assert TITLE not in render_html(bench.results()) + render_markdown(bench.results())


def test_two_results_show_both_whatever_their_networks_are_called(tmp_path: Path) -> None:
    """With and without an L2 layer: two runs of two names."""
    given = {"l2": row("snn", "rates", "embedding"), "no-l2": row("snn", "embedding")}
    first, second = (results(found.model_copy(update={"id": f"{name}/snn"})) for name, found in given.items())
    told = render_comparison(first, second)
    for name in ("first: l2/snn, audio, rates", "second: no-l2/snn, audio, embedding"):
        assert f"| {name} |" in told
    write_comparison(first, second, tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text()
    assert page.count('role="img"') == 3 + 2, "and accuracy and energy"
    assert "Plotly.react" in page
    assert TITLE not in render_comparison(bench.results(), bench.results())


def test_a_file_older_than_a_figure_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_results(results(row("snn", "embedding")), path)
    content = json.loads(path.read_text()) | {"schema": 1}
    for figure in ("discrimination", "footprint"):
        content["rows"][0].pop(figure)
        content["rows"][0]["missing"].pop(figure, None)
    path.write_text(json.dumps(content))
    (read,) = read_results(path).rows
    assert (read.discrimination, read.missing["discrimination"], read.missing["footprint"]) == (None, OLDER, OLDER)
    path.write_text(json.dumps(content | {"rows": 3}))
    with pytest.raises(ArtefactError, match="rows"):
        read_results(path)
