"""Which row of one results file stands beside which of another."""

from __future__ import annotations

from spikeport.benchmarks.results import Results, Row
from spikeport.errors import UsageError

Pair = tuple[Row, Row]


def networks(results: Results) -> tuple[str, ...]:
    """Return the networks whose rows these are."""
    return tuple(dict.fromkeys(row.id.rpartition("/")[0] for row in results.rows))


def part(row: Row) -> str:
    """Return the row's id without its network: name, kind of twin and swept condition."""
    return row.id.rpartition("/")[2]


def pairs(first: Results, second: Results) -> tuple[Pair, ...]:
    """Return the rows that both have, in the order of the first.

    They are matched by id. Where no id is shared, because the networks have other names, they are matched by what
    follows the name, provided that this names one row of each file.

    Raises:
        UsageError: nothing matches.
    """
    found = _by_id(first, second) or _by_part(first, second)
    if not found:
        (one, two) = (f"{', '.join(row.id for row in r.rows)}" for r in (first, second))
        reason = f"no row of one matches a row of the other: the first has {one}; the second has {two}"
        fix = "Bench each network by itself with the same --ann, --backend and --sweep, and compare these files"
        raise UsageError("report", reason, fix)
    return found


def label(pair: Pair) -> str:
    """Return what to call both: their id where it is one, else what follows the network's name."""
    a, b = pair
    return a.id if a.id == b.id else part(a)


def said(first: Results, second: Results) -> str:
    """Return which networks are compared, and by what their rows are matched."""
    one, two = (", ".join(networks(results)) for results in (first, second))
    by = "id" if _by_id(first, second) else "name and condition, since the networks are called otherwise"
    return f"First: {one} ({first.created}). Second: {two} ({second.created}). Rows are matched by {by}."


def _by_id(first: Results, second: Results) -> tuple[Pair, ...]:
    others = {row.id: row for row in second.rows}
    return tuple((row, others[row.id]) for row in first.rows if row.id in others)


def _by_part(first: Results, second: Results) -> tuple[Pair, ...]:
    others = {part(row): row for row in second.rows}
    if len(others) < len(second.rows) or len({part(row) for row in first.rows}) < len(first.rows):
        return ()
    found = ((row, others[part(row)]) for row in first.rows if part(row) in others)
    return tuple((a, b) for a, b in found if a.kind == b.kind)
