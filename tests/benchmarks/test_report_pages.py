"""Two results side by side, the model card, and what a browser does with the page: sorting, keyboard, no errors."""

from __future__ import annotations

import re
import shutil
import subprocess

import bench_results as bench
import pytest

from spikeport.benchmarks import blocks
from spikeport.benchmarks.report import compare, matching, render_card, render_comparison, write_comparison, write_html
from spikeport.benchmarks.results import write_results
from spikeport.benchmarks.statistics import independent_difference, paired_difference
from spikeport.cli import main
from spikeport.errors import UsageError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def other():
    """The same benchmark on a later day: fewer right, more spikes, another torch, one row gone and one more."""
    results = bench.results()
    rows = (
        results.rows[0],
        bench.row("snn", "snn", bench.snn(2.0), accuracy=bench.accuracy(900), seed=1),
        bench.row("loihi", "backend", bench.snn()),
    )
    environment = results.environment | {"torch": "2.14.0"}
    return bench.results(rows=rows, environment=environment, comparisons=(), differences=(), git="other")


def test_rows_are_matched_by_id_with_intervals():
    table = compare.rows(bench.results(), other())
    ann, snn = table.rows
    assert ann[0] == "av-digits/ann"
    assert ann[4].startswith("+0.0 [-")
    assert ann[7] == "="
    low, high = independent_difference(900, 1000, 985, 1000)[1]
    assert snn[4] == f"-8.5 [{100 * low:+.1f}, {100 * high:+.1f}], independent"
    assert (snn[6], snn[8]) == ("×2", "×1 to ×2") or snn[6] == "×2"


def test_the_same_samples_are_paired():
    """20 answers lost and 5 won of 1000: the paired interval, and none without the same samples."""

    def answered(right, samples="same"):
        answers = blocks.Answers(right=right, samples_sha256=samples)
        n_right = right.count("1")
        return bench.results(
            rows=(bench.row("snn", "snn", bench.snn(), accuracy=bench.accuracy(n_right), answers=answers),),
            comparisons=(), differences=(),
        )  # fmt: skip

    first = "1" * 900 + "0" * 100
    second = "0" * 20 + "1" * 885 + "0" * 95
    ((*_, accuracies),) = [row[:5] for row in compare.rows(answered(first), answered(second)).rows]
    paired = paired_difference([c == "1" for c in second], [c == "1" for c in first])
    assert (paired.only_first, paired.only_second) == (5, 20)
    low, high = paired.ci95
    assert accuracies == f"-1.5 [{100 * low:+.1f}, {100 * high:+.1f}], paired"
    wide_low, wide_high = independent_difference(885, 1000, 900, 1000)[1]
    assert high - low < 0.5 * (wide_high - wide_low)
    (row,) = compare.rows(answered(first), answered(second, "others")).rows
    assert row[4].endswith("independent")


def test_what_only_one_has_and_what_differs_is_said():
    lines = compare.unmatched(bench.results(), other())
    assert "only in the second: av-digits/loihi (ok)" in lines
    assert "only in the first: av-digits/lava-float (unavailable)" in lines
    differs = {row[0]: row[1:] for row in compare.provenance(bench.results(), other()).rows}
    assert differs == {
        "git": ("6c216b6", "other"),
        "torch": ("2.13.0+cpu", "2.14.0"),
        "av-digits/snn: seed": ("0", "1"),
    }


def test_independent_interval_by_the_papers_example():
    """Newcombe 1998 (17:873), example (a): 56/70 - 48/80 by method 10 is 0.0524 to 0.3339."""
    value, (low, high) = independent_difference(56, 70, 48, 80)
    assert value == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_comparison_in_every_form(tmp_path, capsys):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    write_results(bench.results(), a)
    write_results(other(), b)
    assert main(["report", str(a), str(b)]) == 0
    assert "only in the first" in capsys.readouterr().out
    assert main(["report", str(a), str(b), "--markdown"]) == 0
    assert capsys.readouterr().out.strip() == render_comparison(bench.results(), other()).strip()
    assert main(["report", str(a), str(b), "--html", str(tmp_path / "c.html")]) == 0
    assert "What differs in provenance" in (tmp_path / "c.html").read_text()
    assert main(["report", str(a), str(b), "--card"]) == 2
    assert main(["report", str(a), "--card"]) == 0
    assert "# Model card: av-digits" in capsys.readouterr().out


def test_the_card_says_what_it_must():
    card = render_card(bench.results())
    for wanted in (bench.NOTE, "9f2b", "98.5 [97.5, 99.1]", "no energy per operation", "not measured", "## Limits"):
        assert wanted in card, wanted
    for block in (b.splitlines() for b in card.split("\n\n") if b.startswith("| ")):
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1, block[0]


PROBE = """<script>
const table = Array.from(document.querySelectorAll("table.sortable")).find(t => t.caption.textContent.includes(%r));
const button = Array.from(table.querySelectorAll("thead button")).find(b => b.textContent.includes(%r));
const column = button.parentElement.cellIndex;
const seen = [];
for (let i = 0; i < 2; i++) {
  button.focus();
  button.click();
  seen.push(button.parentElement.getAttribute("aria-sort") + ": "
    + Array.from(table.tBodies[0].rows, r => r.cells[column].textContent).join("|"));
}
document.title = "probe " + (document.activeElement === button) + " " + seen.join(" / ") + " end";
</script></body>"""


def browse(path, tmp_path, *options):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    command += [
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={tmp_path / 'profile'}",
        *options,
        f"file://{path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert "CONSOLE" not in done.stderr
    return done.stdout


def probed(path, tmp_path, caption, header):
    path.write_text(path.read_text().replace("</body>", PROBE % (caption, header)))
    shown = browse(path, tmp_path)
    return shown.split("<title>probe ")[1].split(" end</title>")[0]


@needs_chromium
def test_the_layer_table_sorts_by_value_and_by_keyboard(tmp_path):
    """1.73k is less than 22k, and what is not known comes last both ways."""
    path = tmp_path / "report.html"
    write_html(bench.results(), path)
    said = probed(path, tmp_path, "node by node: snn", "ACs")
    focused, rising, falling = said.replace(" / ", "\n").replace("true ", "true\n", 1).splitlines()
    assert focused == "true"
    assert rising == "ascending: 0|22k|32k|38k|91k|-|-|-|-|-"
    assert falling == "descending: 91k|38k|32k|22k|0|-|-|-|-|-"


def called(name, **changes):
    """The same benchmark of a network in another folder."""
    results = bench.results(title=name, **changes)
    new = {row.id: row.id.replace("av-digits/", f"{name}/") for row in results.rows}
    rows = tuple(row.model_copy(update={"id": new[row.id]}) for row in results.rows)
    comparisons = tuple(c.model_copy(update={"snn": new[c.snn], "ann": new[c.ann]}) for c in results.comparisons)
    return results.model_copy(update={"rows": rows, "comparisons": comparisons, "differences": ()})


def test_networks_of_other_names_are_matched_by_row_and_condition():
    swept = bench.row("snn", "snn", bench.snn(0.5), swept={"noise": 2.0}, accuracy=bench.accuracy(700))
    swept = swept.model_copy(update={"id": "av-digits/snn@noise=2"})
    one, two = (bench.results(rows=(*bench.results().rows, row)) for row in (swept, swept))
    two = called("other", rows=two.rows)
    assert [(a.id, b.id) for a, b in matching.pairs(one, two)] == [
        (row.id, row.id.replace("av-digits/", "other/")) for row in one.rows
    ]
    assert [line[0] for line in compare.rows(one, two).rows][-1] == "snn@noise=2"
    assert "First: av-digits" in matching.said(one, two)
    assert "Second: other" in matching.said(one, two)
    assert compare.unmatched(one, two) == ()
    differs = {row[0] for row in compare.provenance(one, two).rows}
    assert differs == set(), "nothing but the name differs"


def test_files_of_several_networks_are_matched_by_id_alone():
    both = bench.results().rows + called("other").rows
    two = bench.results(rows=both, comparisons=(), differences=())
    assert {a.id for a, _ in matching.pairs(bench.results(), two)} == {row.id for row in bench.results().rows}
    with pytest.raises(UsageError, match="no row of one matches a row of the other"):
        matching.pairs(called("third"), two)


@pytest.mark.parametrize("form", [[], ["--markdown"], ["--html", "c.html"]])
def test_files_that_share_no_row_are_refused(tmp_path, capsys, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    ann, snn = bench.results().rows[:2]
    for name, row in (("a", ann), ("b", snn)):
        write_results(bench.results(rows=(row,), comparisons=(), differences=()), tmp_path / f"{name}.json")
    assert main(["report", "a.json", "b.json", *form]) == 2
    said = capsys.readouterr()
    assert "no row of one matches" in said.err
    assert said.out == ""
    assert not (tmp_path / "c.html").exists()


def test_figures_and_verdicts_of_both_stand_side_by_side(tmp_path):
    one, two = bench.results(), called("other")
    path = tmp_path / "c.html"
    write_comparison(one, two, path)
    page = path.read_text()
    figures = bench.figures(page)
    assert set(figures) == {"chart-accuracy", "chart-energy"}
    for chart in figures:
        assert re.search(rf'id="{chart}" role="img" aria-label="[^"]{{20,}}"', page), chart
    drawn = {trace["name"] for trace in figures["chart-energy"]["data"]}
    assert drawn == {"ANN, first", "ANN, second", "SNN, first", "SNN, second"}
    for shown in (page, render_comparison(one, two)):
        assert shown.count("it breaks even at") >= 4, "by each model, of both"
        assert bench.NOTE in shown
        assert "snn, second" in shown
    assert page.count("Every node of") == 2 * sum(row.counts is not None for row in one.rows)


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_comparison_page_is_drawn_without_errors(tmp_path, scheme):
    path = tmp_path / "compare.html"
    write_comparison(bench.results(), called("other"), path)
    shown = browse(path, tmp_path, *(["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []))
    assert shown.count('class="main-svg"') >= 2
    assert {"light": "rgb(28, 33, 38)", "dark": "rgb(233, 230, 223)"}[scheme] in shown


@needs_chromium
def test_the_comparison_page_sorts_without_errors(tmp_path):
    path = tmp_path / "compare.html"
    write_comparison(bench.results(), other(), path)
    said = probed(path, tmp_path, "in rows that both have", "accuracy, second")
    assert "ascending: 90.0" in said
    assert "descending: 98.9" in said
