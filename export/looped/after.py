"""The graph of what a forward does once its loop over time is over.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx

from spikeport.errors import UnfaithfulError
from spikeport.export.looped.fold import no_step, require_zero_start
from spikeport.export.looped.gathered import Gathered, Window, dimension
from spikeport.export.looped.step import StepGraph

Form = Literal["sequence", "window"]


@dataclass(frozen=True)
class After:
    """What is done once the loop is over.

    Attributes:
        module: takes the step's outputs as windows [T, B, *shape].
        inputs: their names.
        outputs: the names of its results.
    """

    module: fx.GraphModule
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def after_loop(step: StepGraph, gathered: Gathered, names: list[str]) -> dict[Form, After]:
    """Return what gives these values that forward returns: windows of steps, and one value a sample.

    Raises:
        UnfaithfulError: one is no tensor, or stands in another form.
    """
    batch = next(iter(step.inputs_TB.values())).shape[1]
    forms: dict[Form, dict[str, fx.Node]] = {}
    for name in names:
        value = gathered.returned[name]
        if not isinstance(value, fx.Node):
            reason = f"it is a {type(value).__name__}, and not a tensor that the network computes"
            raise UnfaithfulError(f"output '{name}'", reason, "Return tensors")
        shape = gathered.recorder.values[value].shape
        steps = tuple(shape[:2]) == (gathered.loop.timesteps, batch)
        if not steps and (len(shape) < 1 or shape[0] != batch):
            reason = f"its shape {tuple(shape)} has the batch of {batch} in front neither alone nor behind time"
            raise UnfaithfulError(f"output '{name}'", reason, "Return one value a sample, or a window of steps")
        forms.setdefault("sequence" if steps else "window", {})[name] = value
    return {form: _AfterGraph(step, gathered).build(values) for form, values in forms.items()}


class _AfterGraph:
    def __init__(self, step: StepGraph, gathered: Gathered) -> None:
        self.step, self.gathered, self.loop = step, gathered, gathered.loop
        self.graph = fx.Graph()
        self.windows: dict[int, fx.Node] = {}
        self.made: dict[fx.Node, Any] = {}

    def build(self, values: Mapping[str, fx.Node]) -> After:
        """Return it as a module."""
        self.graph.output(tuple(map(self._value, values.values())))
        module = fx.GraphModule(self.step.root, self.graph, class_name="After")
        return After(module, tuple(map(self.step.output, self.windows)), tuple(values))

    def _of(self, j: int) -> fx.Node:
        if j not in self.windows:
            self.windows[j] = self.graph.placeholder(f"window_{len(self.windows)}")
        return self.windows[j]

    def _value(self, value: Any) -> Any:
        if isinstance(value, Window):
            return self.graph.call_method("unbind", (self._of(value.j), 0))
        if isinstance(value, tuple | list):
            return type(value)(map(self._value, value))
        if not isinstance(value, fx.Node):
            return value
        if value not in self.made:
            self.made[value] = self._node(value)
        return self.made[value]

    def _node(self, node: fx.Node) -> fx.Node:
        at = self.loop.at(node)
        if at is not None:
            return self._from_loop(node, *at)
        if node.op == "get_attr":
            return self.graph.get_attr(str(node.target))
        if self.loop.order.get(node, -1) < self.loop.end:
            raise no_step(node, "what stands after the loop reads what stands before it")
        if node.target is torch.stack and isinstance(node.args[0], Window):
            window, dim = self._of(node.args[0].j), dimension(node)
            return self.graph.call_method("movedim", (window, 0, dim)) if dim else window
        kwargs = {name: self._value(part) for name, part in node.kwargs.items()}
        args = self.step.recorder.any_batch(node, self._value(node.args))
        return self.graph.create_node(node.op, node.target, args, kwargs)

    def _from_loop(self, node: fx.Node, k: int, j: int) -> fx.Node:
        last = k == self.loop.timesteps - 1
        if last and j in self.gathered.written:
            return self._of(self.gathered.record(j))
        if last and j in self.gathered.summed:
            require_zero_start(self.step.recorder, self.loop, j, node.name)
            return self.graph.call_method("sum", (self._of(self.gathered.summed[j]), 0))
        return self.graph.call_function(operator.getitem, (self._of(j), -1 if last else k))
