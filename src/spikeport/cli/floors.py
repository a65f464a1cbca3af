"""`--floor [ROW:]METRIC=X`: a gate on any number of a row of `results.json`, by its path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from spikeport.errors import UsageError

if TYPE_CHECKING:
    from spikeport.benchmarks.results import Results, Row


@dataclass(frozen=True)
class Floor:
    """The least that a figure may be.

    Attributes:
        row: the name or id of the rows that it holds for, `None` for every row whose condition no sweep changed.
        path: of the figure in a row, as `counts.per_sample.spikes`; `accuracy` is `accuracy.value`.
        least: the value itself is enough.
    """

    row: str | None
    path: str
    least: float

    @classmethod
    def parse(cls, text: str) -> Floor:
        """Return the floor that `text` says.

        Raises:
            UsageError: it says none, or a row of `results.json` has no such number.
        """
        from spikeport.benchmarks.results import Row

        named, equals, value = text.rpartition("=")
        row, _, path = named.rpartition(":")
        try:
            least = float(value)
        except ValueError:
            least = float("nan")
        if not equals or not abs(least) < float("inf"):
            raise UsageError(f"--floor {text}", "it is not a floor", "Write it as accuracy=0.9 or snn:accuracy=0.9")
        if path == "accuracy" and not 0 <= least <= 1:
            raise UsageError(f"--floor {text}", "accuracy is a share of 1", "Write 0.9 for 90 percent")
        if not _is_number(Row, _full(path).split(".")):
            fix = "Give the path of a number, such as accuracy or agreement.spikes"
            raise UsageError(f"--floor {text}", f"a row of results.json has no number '{path}'", fix)
        return cls(row or None, path, least)

    def misses(self, results: Results) -> bool:
        """Return whether a row is below, has no such figure, or is not there at all, and say so: missing is not met."""
        rows = [r for r in results.rows if self._holds_for(r)]
        if not rows:
            print(f"floor: {self.path}: there is no row '{self.row}'", file=sys.stderr)
        missed = not rows
        for row in rows:
            value, reason = figure(row, self.path)
            if value is None:
                print(f"floor: {row.id}: {self.path} is unknown, not above {self.least:g}: {reason}", file=sys.stderr)
            elif value < self.least:
                print(f"floor: {row.id}: {self.path} is {value:.6g}, below {self.least:g}", file=sys.stderr)
            missed |= value is None or value < self.least
        return missed

    def _holds_for(self, row: Row) -> bool:
        return (
            not row.swept
            if self.row is None
            else self.row in (row.id, row.name) and not (row.swept and self.row == row.name)
        )


def figure(row: Row, path: str) -> tuple[float | None, str]:
    """Return the number at `path` in `row`, or `None` and why it is not known."""
    place: Any = row.model_dump()
    for key in _full(path).split("."):
        place = place.get(key) if isinstance(place, dict) else None
    if isinstance(place, int | float):
        return float(place), ""
    return None, next(_reasons(row, path), "the row does not have it")


def _reasons(row: Row, path: str) -> Iterator[str]:
    keys = path.split(".")
    if row.reason:
        yield row.reason
    if keys[0] in row.missing:
        yield row.missing[keys[0]]
    if row.counts is not None and keys[-1] in row.counts.missing:
        yield row.counts.missing[keys[-1]]


def _full(path: str) -> str:
    return "accuracy.value" if path == "accuracy" else path


def _is_number(kind: Any, keys: list[str]) -> bool:
    """Return whether a value of type `kind` may hold a number at the path `keys`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return (
            bool(keys) and keys[0] in kind.model_fields and _is_number(kind.model_fields[keys[0]].annotation, keys[1:])
        )
    if getattr(kind, "__origin__", None) is dict:
        return bool(keys) and _is_number(get_args(kind)[1], keys[1:])
    if kind in (int, float, bool):
        return not keys
    return getattr(kind, "__origin__", None) is not tuple and any(_is_number(part, keys) for part in get_args(kind))
