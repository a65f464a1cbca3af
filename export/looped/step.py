"""The graph of one step of a loop over time, and what it is given.

What stands before the loop and is alike in every step is computed in every step; a window that is read step by step
becomes an input.
Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

import copy
import operator
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx

from spikeport.export.convert.states import handed_states, returned_states
from spikeport.export.looped.fold import Loop, no_step, require_zero_start
from spikeport.export.looped.gathered import Gathered, dimension
from spikeport.export.looped.recorder import Recorder

LAYOUT = (
    *("view", "reshape", "flatten", "contiguous", "float", "detach", "clone", "squeeze", "unsqueeze", "to", "double"),
    *("transpose", "permute", "movedim", "unbind", "t"),
)


class StepGraph:
    """One step under construction.

    Attributes:
        inputs_TB: what the step takes, by the name of its arguments.
        results: the calls whose values the step gives, in order.
    """

    def __init__(self, recorder: Recorder, loop: Loop, gathered: Gathered) -> None:
        self.recorder, self.loop = recorder, loop
        self.root = recorder.root
        self.inputs_TB: dict[str, Tensor] = {}
        self.results: list[int] = []
        self._graph = fx.Graph()
        self._made: dict[int, fx.Node] = {}
        self._outside: dict[Any, fx.Node] = {}
        self._carried: dict[int, fx.Node] = {}
        for j in range(loop.period):
            if j not in gathered.summed and j not in gathered.written:
                self._made[j] = self._call(j, loop.call(j))

    def output(self, j: int) -> str:
        """Return the name of the step's output that is the value of call `j`.

        Raises:
            UnfaithfulError: it is what the loop gathers.
        """
        if j not in self._made:
            raise no_step(self.loop.call(j), "what the loop gathers is read inside of it")
        if j not in self.results:
            self.results.append(j)
        return f"step_{self.results.index(j)}"

    def build(self) -> tuple[fx.GraphModule, dict[str, int]]:
        """Return the step, and the place of the output that each argument is in the step before."""
        for j in self._carried:
            self.output(j)
        feedback = {str(node.target): self.results.index(j) for j, node in self._carried.items()}
        self._graph.output(tuple(self._made[j] for j in self.results))
        return fx.GraphModule(self.root, self._graph, class_name="Step"), feedback

    def _call(self, j: int, call: fx.Node) -> fx.Node:
        if j in self.loop.indexed:
            return self._read_window(j, call)
        args, kwargs = call.args, dict(call.kwargs)
        target: Any = call.target
        if self.recorder.is_neuron(call):
            given = handed_states(call, self.root)
            if given and all(self._is_own_state(call, name, value) for name, value in given.items()):
                args, kwargs = args[:1], {n: x for n, x in kwargs.items() if n not in given}
                target = self._own_neuron(j, str(target))
        args, kwargs = fx.map_arg((args, kwargs), self._in_step)
        return self._graph.create_node(call.op, target, self.recorder.any_batch(call, args), kwargs)

    def _is_own_state(self, call: fx.Node, name: str, value: Any) -> bool:
        """Return whether a neuron is handed the state that this call of it left, from 0 at first."""
        at = self.loop.back(value)
        if at is None:
            return False
        source, kind = self.loop.call(at), type(self.root.get_submodule(str(call.target)))
        if source.target is not operator.getitem or source.args != (call, returned_states(kind).index(name)):
            return False
        require_zero_start(self.recorder, self.loop, at, str(call.target))
        return True

    def _own_neuron(self, j: int, path: str) -> str:
        """Return the neuron of this call: where a neuron keeps several states, one for each."""
        calls = [i for i in range(self.loop.period) if self.loop.call(i).target == path]
        if calls[0] == j:
            return path
        own = f"{path.replace('.', '_')}_call_{calls.index(j) + 1}"
        self.root.add_module(own, copy.deepcopy(self.root.get_submodule(path)))
        return own

    def _in_step(self, node: fx.Node) -> fx.Node:
        kind, place = self.loop.where(node, 1)
        if kind == "in":
            if place not in self._made:
                raise no_step(node, "it reads what the loop has gathered so far")
            return self._made[place]
        if kind == "back":
            require_zero_start(self.recorder, self.loop, place, node.name)
            if place not in self._carried:
                self._carried[place] = self._graph.placeholder(f"carried_{node.name}")
            return self._carried[place]
        return self._out(node)

    def _out(self, node: fx.Node) -> fx.Node:
        """Return what the loop reads from outside, alike in every step."""
        if node not in self._outside:
            if node.op == "get_attr":
                self._outside[node] = self._graph.get_attr(str(node.target))
            elif node.op == "placeholder":
                x_B = self.recorder.values[node]
                self._outside[node] = self._input(node.name, x_B.expand(self.loop.timesteps, *x_B.shape))
            else:
                args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), self._out)
                args = self.recorder.any_batch(node, args)
                self._outside[node] = self._graph.create_node(node.op, node.target, args, kwargs)
        return self._outside[node]

    def _input(self, name: str, x_TB: Tensor) -> fx.Node:
        names = (name if i == 1 else f"{name}_{i}" for i in count(1))
        free = next(wanted for wanted in names if wanted not in self.inputs_TB)
        self.inputs_TB[free] = x_TB.contiguous()
        return self._graph.placeholder(free)

    def _read_window(self, j: int, call: fx.Node) -> fx.Node:
        source: Any = call.args[0]
        if self.loop.where(source, 1)[0] != "out":
            raise no_step(call, "it reads what the loop computes by the step's index")
        x, axis = self.recorder.values[source], self.loop.indexed[j]
        if isinstance(x, tuple):  # for step in x
            if source.target not in ("unbind", torch.unbind):
                raise no_step(source, "it splits a window")
            axis, source = dimension(source), source.args[0]
            x = self.recorder.values[source]
        axis %= x.ndim
        if (source, axis) not in self._outside:
            x_TB = x.movedim(axis, 0)[: self.loop.timesteps]
            self._outside[source, axis] = self._input(_input_behind(source), x_TB)
        index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
        at = next(i for i, part in enumerate(index) if type(part) is int and part == 1)
        rest = index[:at] + index[at + 1 :]
        if all(part is ... or part == slice(None) for part in rest):
            return self._outside[source, axis]
        return self._graph.call_function(operator.getitem, (self._outside[source, axis], rest))


def _input_behind(node: fx.Node) -> str:
    """Return the input that a window is laid out from."""
    while node.op != "placeholder":
        if node.target not in LAYOUT and node.target is not operator.getitem:
            raise no_step(node, "it computes on the whole window before the loop")
        node = node.all_input_nodes[0]
    return node.name
