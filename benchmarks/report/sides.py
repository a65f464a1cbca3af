"""What two results say of the rows that both have, one below the other: figures, charts and verdicts of each."""

from __future__ import annotations

from collections.abc import Iterator

from spikeport.benchmarks.report import charts, matching, tables
from spikeport.benchmarks.report.charts import Chart
from spikeport.benchmarks.report.tables import Named, Table
from spikeport.benchmarks.results import Results, Row

SIDES = ("first", "second")


def named(first: Results, second: Results) -> tuple[Named, ...]:
    """Return the rows that both have, called `snn, first` and `snn, second`."""
    return tuple(
        (f"{matching.label(pair)}, {side}", row)
        for pair in matching.pairs(first, second)
        for side, row in zip(SIDES, pair, strict=True)
    )


def summary(first: Results, second: Results) -> Table:
    """Return accuracy, agreement, operations and ranges of energy of both."""
    return tables.summary_of(named(first, second))


def work(first: Results, second: Results) -> Table:
    """Return what one inference does in both."""
    return tables.totals_of(named(first, second))


def accuracy(first: Results, second: Results) -> Chart | None:
    """Return dots with intervals, each row of the first above that of the second."""
    return charts.accuracy_of(named(first, second))


def energy(first: Results, second: Results) -> Chart | None:
    """Return the ranges of the first pair of ANNs and of the first pair of spiking networks."""
    found = [pair for pair in matching.pairs(first, second) if not pair[0].swept and all(r.energy for r in pair)]
    drawn = [next((p for p in found if p[0].kind == "ann"), None), _spiking(found)]
    shown = ((f"{part}, {side}", row) for part, side, row in _sided(pair for pair in drawn if pair))
    return charts.energy_of(tuple(shown))


def _spiking(found: list[matching.Pair]) -> matching.Pair | None:
    return next((p for kind in ("snn", "backend") for p in found if p[0].kind == kind), None)


def _sided(found: Iterator[matching.Pair]) -> Iterator[tuple[str, str, Row]]:
    for pair in found:
        for side, row in zip(SIDES, pair, strict=True):
            yield tables.kind_name(row), side, row


def layered(first: Results, second: Results) -> tuple[Named, ...]:
    """Return the rows whose nodes are worth a table: those under no swept condition that were counted."""
    return tuple((name, row) for name, row in named(first, second) if row.counts and not row.swept)


def verdicts(first: Results, second: Results, short: bool = False) -> tuple[str, ...]:
    """Return the verdicts of each file by its own models, as sentences that say whose they are."""
    return tuple(
        f"{side}, {name}: {verdict}"
        for side, results in zip(SIDES, (first, second), strict=True)
        for name, verdict in tables.verdicts(results, short)
    )


def notes(first: Results, second: Results) -> tuple[str, ...]:
    """Return what is to be said wherever a figure of either stands."""
    return tuple(dict.fromkeys((*tables.notes(first), *tables.notes(second))))
