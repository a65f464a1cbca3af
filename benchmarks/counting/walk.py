"""Replays a recording through a graph's wires: which values reach each node, message by message.

Neurons are not simulated: what they emitted is in the recording. Only what lies between them (flattening,
pooling, delays, weighted nodes that feed something other than a neuron) is evaluated, by the reference
operators. Messages of different sources stay apart on wires, since each spike is an event of its own even
where two arrive together; a pooling or a weighted node sums them and emits one.

Shape suffixes: T steps, B samples, N the node's own shape.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.export.graph import NEURONS, ChipGraph, delay_steps
from spikeport.export.interpreter import Interpreter, sum_all
from spikeport.export.operators import operator

Values = NDArray[np.generic]
Messages = list[Values]


class Walk:
    """Steps through a recording.

    Args:
        graph: the stage.
        known_TBN: what every neuron and input node emits, [T, B, *shape].
    """

    def __init__(self, graph: ChipGraph, known_TBN: Mapping[str, Values]) -> None:
        self.graph = graph
        self.known = known_TBN
        self.operators = {n: operator(graph.nodes[n]) for n in evaluated(graph)}
        lengths = {n: delay_steps(n, d, graph.dt_s) for n, d in graph.nodes.items() if isinstance(d, nir.Delay)}
        self.lines: dict[str, deque[Messages]] = {n: deque([[]] * steps) for n, steps in lengths.items() if steps}
        start = Interpreter(graph)
        start.reset(next(iter(known_TBN.values())).shape[1])
        self.emitted: dict[str, Messages] = {n: [y] for n, y in start.outputs.items()}

    def step(self, t: int) -> dict[str, Messages]:
        """Return the messages that arrive at each node in step `t`; call it for t = 0, 1, ... in order."""
        before, self.emitted = self.emitted, {}
        arriving = {}
        for name in self.graph.order:
            if name not in self.lines:
                arriving[name] = self._gather(name, before)
            self.emitted[name] = self._emit(name, t, arriving)
        for name, line in self.lines.items():
            arriving[name] = self._gather(name, before)
            line.popleft()
            line.append(arriving[name])
        return arriving

    def _gather(self, name: str, before: Mapping[str, Messages]) -> Messages:
        registers = self.graph.registers
        sources = self.graph.predecessors[name]
        return [m for u in sources for m in (before if (u, name) in registers else self.emitted)[u]]

    def _emit(self, name: str, t: int, arriving: Mapping[str, Messages]) -> Messages:
        node = self.graph.nodes[name]
        if name in self.known:
            return [self.known[name][t]]
        if name in self.lines:
            return self.lines[name][0]
        if isinstance(node, nir.Delay):
            return arriving[name]
        if name not in self.operators:
            return []
        if isinstance(node, nir.Flatten):
            return [self.operators[name].apply(m.astype(np.float64)) for m in arriving[name]]
        batch = next(iter(self.known.values())).shape[1]
        zero_BN = np.zeros((batch, *self.graph.shapes[self.graph.predecessors[name][0]]))
        return [self.operators[name].apply(sum_all([zero_BN, *(m.astype(np.float64) for m in arriving[name])]))]


def evaluated(graph: ChipGraph) -> tuple[str, ...]:
    """Return the stateless nodes whose values the walk needs: those that feed anything but neurons and outputs."""
    ends = (*NEURONS, nir.Output)
    feeding = {u for u, w in graph.edges if not isinstance(graph.nodes[w], ends)}
    skip = (*ends, nir.Input, nir.Delay)
    return tuple(n for n in graph.order if n in feeding and not isinstance(graph.nodes[n], skip))
