"""The three reports: the same figures, nothing invented, nothing loaded from outside."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import bench_results as bench
import plotly.offline
import pytest
from rich.console import Console

from spikeport.benchmarks.report import render_card, render_html, render_markdown, render_table, text, write_html
from spikeport.export.coverage import Coverage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PLACES = {(h, a) for h in ("src", "href", "action", "data", "poster") for a in ("http:", "https:", "//")}


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(bench.results())


def own(page: str) -> str:
    """Return the page without plotly's source."""
    return page.replace(plotly.offline.get_plotlyjs(), "")


def terminal(results) -> str:
    console = Console(file=io.StringIO(), width=220)
    console.print(render_table(results))
    return console.file.getvalue()


def test_terminal_table():
    shown = terminal(bench.results())
    snn = next(line for line in shown.splitlines() if line.startswith("snn "))
    assert re.match(r"snn +ok +98\.5 \[97\.5, 99\.1\] +exact, 2 ties +87\.5 % +27\.9k +183k +11\.9-293 nJ", snn)
    assert snn.endswith(" 3.45 [3.2, 4.1]")
    assert re.search(r"^lava-fixed +quantised +98\.1 .* 0\.9912 +87\.5 %", shown, re.M)
    assert "lava-fixed  quantised: parameters are rounded to integers" in shown
    assert "mismatch:" not in shown
    assert "energy = estimate, not measured" in shown
    assert bench.NOTE in shown
    assert "no Python 3.10 is found" in shown
    unavailable = next(line for line in shown.splitlines() if line.startswith("lava-float"))
    assert not re.search(r"\d", unavailable.removeprefix("lava-float")), "missing is -, never a number"
    assert "-0.4 points [-1.1, +0.3]" in shown


def test_markdown_escapes_and_agrees():
    shown = render_markdown(bench.results())
    assert "98.5 [97.5, 99.1]" in shown
    assert "no Python 3.10 is found \\| offline" in shown
    blocks = [b.splitlines() for b in shown.split("\n\n") if b.startswith("| ")]
    assert len(blocks) == 6 + 5, "and one of the nodes for each row that was counted"
    for lines in blocks:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1, lines[0]
    assert bench.NOTE in shown


class _Outside(HTMLParser):
    """Collects what a browser would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.sections: list[str] = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if any(name == h and (value or "").startswith(a) for h, a in PLACES):
                self.found.append(f"{tag} {name}={value}")
            if tag == "h2" and name == "id":
                self.sections.append(value)


def test_a_node_that_never_fired_is_named_in_every_form():
    """In the rows where it did not, once; a row on samples that drive it is not among them."""
    dead = Coverage(per_node=bench.COVERAGE.per_node | {"image_lif2": bench.covered(384, 384)})
    rows = (bench.row("snn", "snn", bench.snn(), coverage=dead), bench.row("norse", "backend", bench.snn()))
    rows += (bench.row("reference", "backend", bench.snn(), coverage=dead),)
    results = bench.results(rows=rows, comparisons=(), differences=())
    line = "snn, reference: not proven: image_lif2 never fired: give more samples, or samples that drive it"
    assert re.search(r"^snn +ok .* exact, 2 ties +0 %", terminal(results), re.M)
    for shown in (terminal(results), render_markdown(results), render_card(results), own(render_html(results))):
        assert shown.count(line) == 1
    assert "not proven" not in terminal(bench.results())
    shown = render_markdown(bench.results())
    assert "| image_lif2 | neurons | 384 neurons | 300 | 0.0488 | 87.5 % | - |" in shown
    assert "| fused_lif | neurons | 128 neurons | 310 | 0.1514 | 100 % | - |" in shown
    assert "| readout | dense | 1.28k weights | - | - | - | - |" in shown


def test_page_is_self_contained(page):
    parser = _Outside()
    parser.feed(own(page))
    assert parser.found == []
    assert "@import" not in own(page)
    assert not re.search(r"url\((?!data:)", own(page))
    assert parser.sections == [
        "accuracy", "agreement", "example", "activity", "work", "energy", "missing", "provenance",
    ]  # fmt: skip


def test_page_says_what_it_must(page):
    body = own(page)
    assert body.count(bench.NOTE) >= 6, "the note stands wherever a figure stands"
    for wanted in ("98.5 %", "95 % interval 97.5 to 99.1", "ISSCC 2014", "2 of 4", "offline", "SHA-256"):
        assert wanted in body, wanted
    assert "spikeport bench runs/av-digits --backend all" in body
    assert "joules were not measured" in body


def test_every_chart_has_a_text_alternative(page):
    figures = bench.figures(page)
    assert len(figures) == 3 + 2 + 3 + 1
    for chart in figures:
        assert re.search(rf'id="{chart}" role="img" aria-label="[^"]{{20,}}"', page), chart


def test_user_text_cannot_break_out():
    attack = "</script><script>alert(1)</script>"
    example = bench.example()
    heatmap = example.inputs[0].model_copy(update={"x_label": attack})
    page = render_html(bench.results(title=attack, example=example.model_copy(update={"inputs": (heatmap,)})))
    assert "<script>alert(1)" not in page
    assert bench.figures(page)


def test_page_without_twin_example_and_backends():
    results = bench.results(
        rows=(bench.row("snn", "snn", bench.snn()),), comparisons=(), differences=(), example=None, reproduce=()
    )
    page = own(render_html(results))
    assert 'id="example"' not in page
    assert "ANN ÷ SNN" not in page
    assert "snn" in terminal(results)


def test_page_where_nothing_ran():
    never = bench.results().rows[-1]
    page = own(render_html(bench.results(rows=(never,), comparisons=(), differences=(), example=None)))
    assert "no Python 3.10 is found" in page
    assert "chart-accuracy" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_drawn_without_console_errors(tmp_path, scheme):
    path = tmp_path / "report.html"
    write_html(bench.results(), path)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    command += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path / 'profile'}", f"file://{path}"]
    command += ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count('class="main-svg"') >= 8
    ink = {"light": "rgb(28, 33, 38)", "dark": "rgb(233, 230, 223)"}[scheme]
    assert ink in done.stdout, "the charts' text takes the theme's colour"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(None, "-"), (0, "0"), (0.5, "0.5"), (999.4, "999"), (999.6, "1k"), (402_000, "402k"), (1.26e6, "1.26M")],
)
def test_amounts(value, wanted):
    assert text.amount(value) == wanted


def test_what_differs_never_reads_as_all_equal():
    almost = bench.agreement(False).model_copy(update={"spikes": 0.999999})
    assert text.agreement(almost) == "0.9999"
