"""What a loop over time gathers: lists of all steps' values, sums, and records that it writes by places.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import fx

from spikeport.export.looped.fold import Loop, no_step
from spikeport.export.looped.recorder import Recorder

ACCUMULATIONS = ("add", "iadd", "add_")


@dataclass(frozen=True)
class Window:
    """The values of call `j` of all steps, in order."""

    j: int


class Gathered:
    """What a loop gathers.

    Attributes:
        returned: what forward returns, by name, a list of all steps' values as a `Window`.
        summed: for each call that adds up over time, in a sum that nothing in the loop reads, the call that it adds.
        written: the calls that write a record by the step's index.
    """

    def __init__(self, recorder: Recorder, loop: Loop, returned: Any) -> None:
        self.recorder, self.loop = recorder, loop
        for call in loop.calls[loop.end :]:
            call.args = _with_windows(loop, call.args)
        self.returned = dict(flat(_with_windows(loop, returned)))
        self.written = {j for j in loop.indexed if loop.call(j).target is operator.setitem}
        shown: set[fx.Node] = set()
        fx.map_arg([*self.returned.values()], shown.add)
        self.summed = {j: v for j in range(loop.period) if (v := self._summand(j, shown)) is not None}

    def window(self, value: Any) -> int | None:
        """Return the call of the step whose values of all steps `value` is, `None` where it is none."""
        if isinstance(value, Window):
            return value.j
        if not isinstance(value, fx.Node):
            return None
        at = self.loop.at(value)
        if at is not None:
            k, j = at
            return self.record(j) if k == self.loop.timesteps - 1 and j in self.written else None
        if value.target is torch.stack and isinstance(value.args[0], Window) and dimension(value) == 0:
            return value.args[0].j
        return None

    def record(self, j: int) -> int:
        """Return the call of the step whose values call `j` writes.

        Raises:
            UnfaithfulError: it does not write one step's value to each place.
        """
        call = self.loop.call(j)
        value: Any = call.args[2]
        kind, place = self.loop.where(value, 1) if isinstance(value, fx.Node) else ("", 0)
        start = self.loop.starts.get(j)
        if kind != "in" or call.args[1] != 1 or not isinstance(start, fx.Node):
            raise no_step(call, "it writes by places")
        if len(self.recorder.values[start]) != self.loop.timesteps:
            raise no_step(call, "it writes fewer steps than there is room for")
        return int(place)

    def _summand(self, j: int, shown: set[fx.Node]) -> int | None:
        call = self.loop.call(j)
        name = call.target if isinstance(call.target, str) else getattr(call.target, "__name__", "")
        if name not in ACCUMULATIONS or len(call.args) != 2 or call.kwargs:
            return None
        for whole, part in (call.args, call.args[::-1]):
            kind, place = self.loop.where(part, 1) if isinstance(part, fx.Node) else ("", 0)
            if self.loop.back(whole) == j and kind == "in":
                steps = [self.loop.call(j, k) for k in range(self.loop.timesteps)]
                alone = all({*a.users} == {b} and a not in shown for a, b in pairwise(steps))
                return int(place) if alone else None
        return None


def dimension(node: fx.Node) -> int:
    """Return the `dim` of a call whose second argument it is, by default 0."""
    found: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    return int(found)


def flat(value: Any, name: str = "output") -> Iterator[tuple[str, Any]]:
    """Yield what forward returns, by name: a dictionary's keys, a tuple's places."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from flat(part, str(key) if name == "output" else f"{name}_{key}")
    elif isinstance(value, tuple | list):
        for i, part in enumerate(value):
            yield from flat(part, f"{name}_{i}")
    else:
        yield name, value


def _with_windows(loop: Loop, value: Any) -> Any:
    """Put a `Window` in the place of a list of all steps' values."""
    if isinstance(value, Mapping):
        return {key: _with_windows(loop, part) for key, part in value.items()}
    if not isinstance(value, tuple | list):
        return value
    places = [loop.at(x) if isinstance(x, fx.Node) else None for x in value]
    if places and places[0] is not None and places == [(k, places[0][1]) for k in range(loop.timesteps)]:
        return Window(places[0][1])
    return type(value)(_with_windows(loop, x) for x in value)
