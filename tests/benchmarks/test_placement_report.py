"""The placement in the three reports: a table, a picture with words beside it, and the limit that breaks."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import bench_results as bench
import numpy as np
import pytest
from rich.console import Console
from scipy.sparse import csr_array

from spikeport.benchmarks.report import placement, render_html, render_markdown, render_table, write_html
from spikeport.benchmarks.results import Results, read_results, write_results
from spikeport.deploy.loihi.engine import IntegerNetwork, Population, Synapses
from spikeport.deploy.loihi.mapper.blocks import ChipMapping
from spikeport.deploy.loihi.mapper.chip import Chip, Mesh, load
from spikeport.deploy.loihi.mapper.mapping import map_network

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WHERE = Mesh(2, 1, 4, "inferred", "a test")


def chip(cores: int, compartments: int = 1024, in_axons: int = 4096) -> Chip:
    one = load("loihi1")
    values = {"cores": cores, "compartments": compartments, "in_axons": in_axons}
    limits = {name: replace(getattr(one.limits, name), value=value) for name, value in values.items()}
    return replace(one, limits=replace(one.limits, **limits), mesh=WHERE)


def mapping(on: Chip, layer: str = "hidden") -> ChipMapping:
    """Map 3 inputs to 40 neurons to 2."""
    parts = [Population(n, (size,), 4095, 0, 9, np.zeros(size, np.int32)) for n, size in ((layer, 40), ("out", 2))]
    weights = [csr_array(np.full(shape, 2)) for shape in ((40, 3), (2, 40))]
    synapses = (Synapses("x", layer, weights[0]), Synapses(layer, "out", weights[1]))
    spikes = {"x": np.ones((4, 2, 3)), layer: np.ones((4, 2, 40)), "out": np.ones((4, 2, 2))}
    return map_network(IntegerNetwork({"x": (3,)}, tuple(parts), synapses), on, "core", 200, spikes)


def results(**mappings: ChipMapping) -> Results:
    row = bench.row("loihi", "backend", bench.snn()).model_copy(update={"mapping": mappings})
    return bench.results(rows=(row,), comparisons=(), differences=(), example=None)


FITS = results(loihi1=mapping(load("loihi1")), loihi2=mapping(load("loihi2")))
BREAKS = results(small=mapping(chip(cores=3, compartments=10)), narrow=mapping(chip(cores=3, in_axons=2)))


def test_a_row_keeps_its_mapping(tmp_path: Path) -> None:
    write_results(FITS, tmp_path / "r.json")
    assert read_results(tmp_path / "r.json") == FITS


def test_the_picture_shows_every_core_and_says_it_in_words() -> None:
    page = render_html(FITS)
    drawn = bench.figures(page)["chart-placement-0"]["data"]
    assert np.shape(drawn[0]["z"]) == (8, 16)
    used = [fill for row in drawn[1]["z"] for fill in row if fill is not None]
    assert len(used) == len(FITS.rows[0].mapping["loihi1"].cores) == 1
    hover = drawn[1]["customdata"][0][0]
    assert "40 of hidden, 2 of out" in hover
    assert "compartments 4 %" in hover
    assert re.search(
        r'id="chart-placement-0" role="img" aria-label="Cores of [^"]*hidden on core 0; out on core 0"', page
    )
    assert "no energy per operation is published for Loihi 2" in page
    assert "It does not fit" not in page


def test_what_does_not_fit_is_named_everywhere() -> None:
    page = render_html(BREAKS)
    told = "the network needs 5 cores, there are 3"
    assert told in page
    assert "neuron 0 alone needs 3 axons per core, there are 2" in page
    assert set(bench.figures(page)) >= {"chart-placement-0"}
    assert "chart-placement-1" not in bench.figures(page), "where nothing could be placed, nothing is drawn"
    assert np.shape(bench.figures(page)["chart-placement-0"]["data"][0]["z"]) == (2, 7)
    assert told in render_markdown(BREAKS)
    console = Console(file=io.StringIO(), width=200)
    console.print(render_table(BREAKS))
    assert re.search(r"loihi on small +no +5 of 3", console.file.getvalue())
    assert re.search(r"loihi on narrow +no +- +- +- +- +- +-", console.file.getvalue()), "missing is -, never a number"


def test_no_two_cores_share_a_place() -> None:
    for name in ("loihi1", "loihi2"):
        block = FITS.rows[0].mapping[name]
        places = {placement.place_of(block, core) for core in range(5 * 128)}
        assert len(places) == 5 * 128


def test_a_layers_name_cannot_break_out() -> None:
    page = render_html(results(loihi1=mapping(load("loihi1"), "</script><script>alert(1)</script>")))
    assert "<script>alert(1)" not in page


def test_rows_without_a_mapping_show_none() -> None:
    assert 'id="placement"' not in render_html(bench.results())
    assert "On the chip" not in render_markdown(bench.results())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_is_drawn_in_both_themes(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "report.html"
    write_html(FITS, path)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    command += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path / 'profile'}", f"file://{path}"]
    command += ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    drawn = done.stdout[done.stdout.index('id="chart-placement-0"') :]
    assert 'class="heatmaplayer' in drawn
    assert ">1,2</text>" in drawn
