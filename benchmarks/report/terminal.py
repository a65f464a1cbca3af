"""The results as a table for the terminal."""

from __future__ import annotations

import sys

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from spikeport.benchmarks.report import agreement, compare, matching, placement, sides, tables
from spikeport.benchmarks.results import Results

PIPE_WIDTH = 176
_COLOURS = {"ok": "green", "quantised": "cyan", "mismatch": "red", "failed": "red", "partial": "yellow"}


def render_table(results: Results) -> RenderableType:
    """Return the table, its legend, the reasons of rows that are not ok, and the notes on the data."""
    occupancy = placement.occupancy(results)
    placed: list[RenderableType] = [Text(), _table(occupancy)] if occupancy.rows else []
    read = tables.measured(results)
    if read.rows:
        placed += [Text(), Text("energy, measured"), _table(read), *map(Text, tables.measured_notes(results))]
    legend = (Text(line, style="dim") for line in tables.LEGEND)
    return Group(_table(tables.summary(results)), *legend, *_below(results), *placed)


def print_table(results: Results) -> None:
    """Print it to stdout; in a file or a pipe a table is not folded to the width of some terminal."""
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(render_table(results))


def print_comparison(first: Results, second: Results) -> None:
    """Print two results side by side to stdout."""
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    differences = _table(compare.rows(first, second))
    console.print(Text(matching.said(first, second)))
    console.print(differences)
    for line in (*compare.unmatched(first, second), compare.NOTE, compare.ENERGY_NOTE):
        console.print(Text(line))
    console.print(Text())
    console.print(_table(sides.summary(first, second)))
    for line in (*sides.verdicts(first, second, short=True), *sides.notes(first, second)):
        console.print(Text(line))
    console.print(Text())
    console.print(_table(compare.provenance(first, second)))


def _table(content: tables.Table) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(content.header):
        table.add_column(name, justify="left" if i < content.text_columns else "right", overflow="fold")
    for cells in content.rows:
        # Text, not markup: an interval in brackets is no style.
        table.add_row(*(Text(c, style=_COLOURS.get(c, "") if i == 1 else "") for i, c in enumerate(cells)))
    return table


def _below(results: Results) -> list[Text]:
    lines = [Text(f"{name}  {why}") for name, why in tables.reasons(results)]
    lines += [Text(sentence) for sentence in (*agreement.unproven(results), *tables.differences(results))]
    lines += [Text(f"{name}: {verdict}") for name, verdict in tables.verdicts(results, short=True)]
    return lines + [Text(note, style="italic") for note in tables.notes(results)]
