"""`--floor [ROW:]METRIC=X`: a gate on any number of a row of `results.json`, by its path.

A path joins keys by dots, as `counts.per_sample.spikes`; keys that hold dots themselves need no quoting. An entry of a
list goes by its `model`, `name` or `tensor`: `energy.horowitz45-compute.high_pj`. `METRIC<=X` is a ceiling, for costs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from spikeport.errors import UsageError

if TYPE_CHECKING:
    from spikeport.benchmarks.results import Results, Row

NAMING = ("model", "name", "tensor")
"""What an entry of a list is called by."""


@dataclass(frozen=True)
class Floor:
    """The least that a figure may be, or the most.

    Attributes:
        row: the name or id of the rows that it holds for, `None` for every row whose condition no sweep changed.
        path: of the figure in a row, as `counts.per_sample.spikes`; `accuracy` is `accuracy.value`.
        bound: the value itself is enough.
        ceiling: it is the most.
    """

    row: str | None
    path: str
    bound: float
    ceiling: bool = False

    @classmethod
    def parse(cls, text: str) -> Floor:
        """Return the floor that `text` says.

        Raises:
            UsageError: it says none, or a row of `results.json` has no such number.
        """
        from spikeport.benchmarks.results import Row

        named, equals, value = text.rpartition("=")
        row, _, path = named.removesuffix("<").removesuffix(">").rpartition(":")
        try:
            bound = float(value)
        except ValueError:
            bound = float("nan")
        if not equals or not abs(bound) < float("inf"):
            raise UsageError(f"--floor {text}", "it is not a floor", "Write it as accuracy=0.9 or snn:accuracy=0.9")
        if path == "accuracy" and not 0 <= bound <= 1:
            raise UsageError(f"--floor {text}", "accuracy is a share of 1", "Write 0.9 for 90 percent")
        if not _is_number(Row, _keys(path)):
            fix = "Give the path of a number: accuracy, agreement.spikes or energy.horowitz45-compute.high_pj"
            raise UsageError(f"--floor {text}", f"a row of results.json has no number '{path}'", fix)
        return cls(row or None, path, bound, named.endswith("<"))

    def misses(self, results: Results) -> bool:
        """Return whether a row misses it, has no such figure, or is not there, and say so: missing is not met."""
        rows = [r for r in results.rows if self._holds_for(r)]
        if not rows:
            print(f"floor: {self.path}: there is no row '{self.row}'", file=sys.stderr)
        # Each is asked, since asking names the miss.
        missed = [row for row in rows if self._missed_by(row)]
        return not rows or bool(missed)

    def _missed_by(self, row: Row) -> bool:
        value, reason = figure(row, self.path)
        wanted, beyond = ("below", "above") if self.ceiling else ("above", "below")
        if value is None:
            print(f"floor: {row.id}: {self.path} is unknown, not {wanted} {self.bound:g}: {reason}", file=sys.stderr)
            return True
        if value > self.bound if self.ceiling else value < self.bound:
            print(f"floor: {row.id}: {self.path} is {value:.6g}, {beyond} {self.bound:g}", file=sys.stderr)
            return True
        return False

    def _holds_for(self, row: Row) -> bool:
        return (
            not row.swept
            if self.row is None
            else self.row in (row.id, row.name) and not (row.swept and self.row == row.name)
        )


def figure(row: Row, path: str) -> tuple[float | None, str]:
    """Return the number at `path` in `row`, or `None` and why it is not known."""
    content, keys = row.model_dump(), _keys(path)
    found = [value for value in _at(content, keys) if isinstance(value, int | float)]
    if len(found) == 1:
        return float(found[0]), ""
    if found:
        return None, f"{len(found)} entries of the row go by this path"
    return None, next(_reasons(row, content, keys))


def _at(place: Any, keys: Sequence[str]) -> Iterator[Any]:
    """Yield what stands at the path `keys` below `place`; a key may itself hold dots."""
    if not keys:
        yield place
        return
    for end in range(len(keys), 0, -1):
        for value in _entries(place, ".".join(keys[:end])):
            yield from _at(value, keys[end:])


def _entries(place: Any, key: str) -> Iterator[Any]:
    if isinstance(place, Mapping):
        if key in place:
            yield place[key]
    elif isinstance(place, tuple):
        yield from (entry for entry in place if key in _called(entry))


def _called(entry: Any) -> list[str]:
    return [entry[name] for name in NAMING if name in entry] if isinstance(entry, Mapping) else []


def _reasons(row: Row, content: Mapping[str, Any], keys: Sequence[str]) -> Iterator[str]:
    if row.reason and row.status != "ok":
        yield row.reason
    if keys[0] in row.missing:
        yield row.missing[keys[0]]
    if row.counts is not None and keys[-1] in row.counts.missing:
        yield row.counts.missing[keys[-1]]
    for end in range(len(keys) - 1, 0, -1):
        for place in _at(content, keys[:end]):
            if isinstance(place, Mapping) and place.get("reason"):
                yield str(place["reason"])
            elif names := list(place) if isinstance(place, Mapping) else [n for e in place or () for n in _called(e)]:
                yield f"{'.'.join(keys[:end])} has {', '.join(names)}"
    yield "the row does not have it"


def _keys(path: str) -> list[str]:
    return ("accuracy.value" if path == "accuracy" else path).split(".")


def _is_number(kind: Any, keys: Sequence[str]) -> bool:
    """Return whether a value of type `kind` may hold a number at the path `keys`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields
        return bool(keys) and keys[0] in fields and _is_number(fields[keys[0]].annotation, keys[1:])
    if get_origin(kind) is dict or _is_named_list(kind):
        inner = get_args(kind)[1] if get_origin(kind) is dict else get_args(kind)[0]
        return any(_is_number(inner, keys[end:]) for end in range(1, len(keys) + 1))
    if kind in (int, float, bool):
        return not keys
    return get_origin(kind) is not tuple and any(_is_number(part, keys) for part in get_args(kind))


def _is_named_list(kind: Any) -> bool:
    """Return whether `kind` is a tuple of blocks that have a name to go by."""
    inner = next(iter(get_args(kind)), None) if get_origin(kind) is tuple else None
    return isinstance(inner, type) and issubclass(inner, BaseModel) and any(n in inner.model_fields for n in NAMING)
