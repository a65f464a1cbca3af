"""Finding the time step in the recording of a forward that loops over time.

The calls of T steps stand one after the other. Between two of them only three things may differ: the step's index where
it reads a window (`x[t]`, `x[:, t]`), a value of the step before, and, in the first step, the constant in its place.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.functions import target_name
from spikeport.export.looped.recorder import Recorder

Place = tuple[str, Any]


@dataclass
class Loop:
    """T steps of P calls each.

    Attributes:
        calls: the whole recording's calls, in order.
        start: where the first step begins.
        period: P.
        timesteps: T.
        starts: for each call whose value the next step reads, what the first step reads in its place.
        indexed: for each call that reads a window by the step's index, the axis of time.
    """

    calls: list[fx.Node]
    start: int
    period: int
    timesteps: int
    starts: dict[int, fx.Node | float | None] = field(default_factory=dict)
    indexed: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order = {node: i for i, node in enumerate(self.calls)}
        self.end = self.start + self.period * self.timesteps

    def at(self, node: fx.Node) -> tuple[int, int] | None:
        """Return (step, place in it) of a call inside the loop."""
        i = self.order.get(node, -1)
        return divmod(i - self.start, self.period) if self.start <= i < self.end else None

    def call(self, j: int, k: int = 1) -> fx.Node:
        """Return call `j` of step `k`."""
        return self.calls[self.start + k * self.period + j]

    def where(self, node: fx.Node, k: int) -> Place:
        """Return where step `k` finds `node`: in itself, in the step before, or outside of the loop."""
        at = self.at(node)
        if at is None:
            return ("out", node)
        return {k: ("in", at[1]), k - 1: ("back", at[1])}.get(at[0], ("far", node))

    def back(self, value: Any) -> int | None:
        """Return the call of the step before that step 1 reads as `value`, `None` where it is none."""
        kind, place = self.where(value, 1) if isinstance(value, fx.Node) else ("", None)
        return place if kind == "back" else None


def find_loop(recorder: Recorder) -> Loop | None:
    """Return the loop over time of a recorded forward, `None` where its calls do not repeat."""
    calls = [node for node in recorder.graph.nodes if node.op.startswith("call")]
    neurons = [i for i, n in enumerate(calls) if recorder.is_neuron(n)]
    if not neurons:
        return None
    own = [i for i in neurons if calls[i].target == calls[neurons[0]].target]
    for many in range(1, len(own) // 2 + 1):
        if len(own) % many:
            continue
        timesteps, period = len(own) // many, own[many] - own[0]
        if len(neurons) % timesteps or any(i != own[0] + k * period for k, i in enumerate(own[::many])):
            continue
        for start in range(max(0, own[0] - period + 1), own[0] + 1):
            loop = Loop(calls, start, period, timesteps)
            if neurons[-1] < loop.end <= len(calls) and _repeats(loop, recorder):
                return loop
    return None


def _repeats(loop: Loop, recorder: Recorder) -> bool:
    for j in range(loop.period):
        one = loop.call(j)
        for k in range(loop.timesteps):
            other = loop.call(j, k)
            if (other.op, other.target) != (one.op, one.target) or _shape(recorder, other) != _shape(recorder, one):
                return False
            if k == 1:
                continue
            compare = _Comparison(loop, recorder, j, k)
            sides = [other.args, other.args[::-1]] if k == 0 and one.target is operator.add else [other.args]
            if not any(compare((one.args, one.kwargs), (args, other.kwargs)) for args in sides):  # 0 + x is x + 0
                return False
    return True


def _shape(recorder: Recorder, node: fx.Node) -> Any:
    value = recorder.values.get(node)
    return value.shape if isinstance(value, Tensor) else None


class _Comparison:
    """Compares the arguments of call `j` in step 1 with those in step `k`."""

    def __init__(self, loop: Loop, recorder: Recorder, j: int, k: int) -> None:
        self.loop, self.recorder, self.j, self.k = loop, recorder, j, k

    def __call__(self, one: Any, other: Any) -> bool:
        if isinstance(one, fx.Node):
            return self._node(one, other)
        if isinstance(one, slice):
            return isinstance(other, slice) and self(*[(x.start, x.stop, x.step) for x in (one, other)])
        if type(one) is not type(other):
            return False
        if isinstance(one, tuple | list):
            return len(one) == len(other) and all(map(self, one, other))
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(self(one[key], other[key]) for key in one)
        return bool(one == other) or self._index(one, other)

    def _node(self, one: fx.Node, other: Any) -> bool:
        place = self.loop.where(one, 1)
        if place[0] == "back" and self.k == 0:
            constant = other is None or type(other) in (int, float) or getattr(other, "op", "") == "get_attr"
            if constant:
                self.loop.starts.setdefault(place[1], other)
            return constant
        if not isinstance(other, fx.Node) or place[0] == "far":
            return False
        if one.op == other.op == "get_attr" and one is not other:
            a, b = self.recorder.values[one], self.recorder.values[other]
            return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
        return self.loop.where(other, self.k) == place

    def _index(self, one: Any, other: Any) -> bool:
        call, there = self.loop.call(self.j), self.loop.call(self.j, self.k)
        if (
            type(one) is not int
            or (one, other) != (1, self.k)
            or call.target not in (operator.getitem, operator.setitem)
        ):
            return False
        index, at_k = (x if isinstance(x, tuple) else (x,) for x in (call.args[1], there.args[1]))
        moving = [i for i, (a, b) in enumerate(zip(index, at_k, strict=True)) if type(a) is int and a != b]
        if len(moving) != 1 or any(x is None for x in index):
            return False
        axis = moving[0]
        self.loop.indexed[self.j] = axis - len(index) if any(x is ... for x in index[:axis]) else axis
        return True


def require_zero_start(recorder: Recorder, loop: Loop, j: int, name: str) -> None:
    """Hold what the first step reads in the place of call `j` of the step before against 0.

    Raises:
        UnfaithfulError: it is something else.
    """
    start = loop.starts.get(j)
    value = torch.as_tensor(recorder.values[start] if isinstance(start, fx.Node) else start or 0)
    if bool((value != 0).any()):
        raise UnfaithfulError(
            f"'{name}'",
            f"before the loop over time it is {float(value[value != 0][0]):.6g}, and a bundle starts every "
            "sample from 0",
            "Start from 0",
        )


def no_step(node: fx.Node, reason: str) -> UnfaithfulError:
    """Return the refusal of a call that no step of a loop, and nothing that follows it, can say."""
    return UnfaithfulError(
        f"call '{node.name}' to {target_name(node)}",
        f"{reason}, and forward loops over time",
        "Let the loop read its inputs and states, and what follows it what the loop gathered",
    )
