"""A network whose forward loops over time, as stages: what it does before the loop, one step, what it does after it.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from spikeport.errors import SpikeportError, UnfaithfulError
from spikeport.export.chance import random_states, refuse_chance
from spikeport.export.convert.bntt import refuse_unshared_norms
from spikeport.export.convert.delta import use_delta_cells
from spikeport.export.convert.private import STATEFUL, bake_parametrizations, check_weights, forget, private_copy
from spikeport.export.convert.states import STATES, returned_states
from spikeport.export.looped.fold import Loop, find_loop
from spikeport.export.looped.recorder import Recorder
from spikeport.export.untouched import listed, untouched

LAYOUT = (
    *("view", "reshape", "flatten", "contiguous", "float", "detach", "clone", "squeeze", "unsqueeze", "to", "double"),
    *("transpose", "permute", "movedim", "unbind", "t"),
)
MANY = 2
"""What is called more often in one forward is a loop."""
ACCUMULATIONS = ("add", "iadd", "add_")


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


@dataclass(frozen=True)
class Looped:
    """A forward that loops over time.

    Attributes:
        step: one step of it.
        inputs_TB: what the step takes, by the name of its arguments.
        feedback: the arguments of the step that are its outputs of the step before, with their place.
        outputs: the step's outputs, by name.
        windows: for each value of the loop that forward returns step by step, the step's output that it is.
        after: what gives the others: windows of as many steps (`sequence`), and one value a sample (`window`).
        returned: the names of all that forward returns, in order.
    """

    step: fx.GraphModule
    inputs_TB: dict[str, Tensor]
    feedback: dict[str, int]
    outputs: tuple[str, ...]
    windows: dict[str, str]
    after: dict[Literal["sequence", "window"], After]
    returned: tuple[str, ...]


def looped(model: nn.Module, sample: Mapping[str, Tensor]) -> Looped | None:
    """Return the stages of a forward that loops over time, `None` where it computes one step.

    Args:
        model: the author's; left untouched.
        sample: what forward takes.

    Raises:
        UnfaithfulError: forward loops over time, and does at a step what no step can.
    """
    original: nn.Module = getattr(model, "_orig_mod", model)
    private = private_copy(original)
    check_weights(private)
    use_delta_cells(private)
    bake_parametrizations(private)
    stand_ins = {id(m): private.get_submodule(n) for n, m in original.named_modules() if isinstance(m, STATEFUL)}

    def record() -> tuple[Recorder, Any]:
        forget(private)
        recorder = Recorder(private)
        return recorder, recorder.record({name: x.clone() for name, x in sample.items()})

    with listed(stand_ins), untouched(private):
        before = random_states()
        try:
            recorder, returned = record()
        except SpikeportError:
            raise
        except Exception:  # forward does not take the whole sample: it takes one step of it
            return None
        refuse_chance(before, record)
    loop = find_loop(recorder)
    if loop is None:
        _refuse_uneven(recorder)
        return None
    called = {str(node.target) for node in loop.calls if node.op == "call_module"}
    refuse_unshared_norms(private, called)
    for name, at in recorder.renewed.items():
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"forward resets it, or gives it a state, inside its loop over time (before its call {at + 1})",
            "Reset it before the loop",
        )
    forget(private)
    for name, value in recorder.constants.items():
        private.register_buffer(name, value)
    return _Splitter(recorder, loop, returned).split()


def _refuse_uneven(recorder: Recorder) -> None:
    """Refuse a forward that calls one neuron again and again, and does not the same each time."""
    called = Counter(str(node.target) for node in recorder.graph.nodes if recorder.is_neuron(node))
    for name, times in called.most_common(1):
        if times > MANY:
            raise UnfaithfulError(
                f"neuron '{name}'",
                f"forward calls it {times} times, and what it does from one call to the next differs in more than "
                "the step of the input",
                "Let every step of the loop do the same",
            )


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


class _Splitter:
    """Splits a recording into one step of the loop, and what stands after it."""

    def __init__(self, recorder: Recorder, loop: Loop, returned: Any) -> None:
        self.recorder, self.loop = recorder, loop
        self.root = recorder.root
        self.returned = dict(flat(_windows(loop, returned)))
        self.graph = fx.Graph()
        self.made: dict[int, fx.Node] = {}
        self.outside: dict[Any, fx.Node] = {}
        self.carried: dict[int, fx.Node] = {}
        self.inputs_TB: dict[str, Tensor] = {}
        self.results: list[int] = []
        self.summed = {j: v for j in range(loop.period) if (v := self._summand(j)) is not None}
        self.written = {j for j in loop.indexed if loop.call(j).target is operator.setitem}

    def split(self) -> Looped:
        """Return the stages."""
        for j in range(self.loop.period):
            if j not in self.summed and j not in self.written:
                self.made[j] = self._step_call(j, self.loop.call(j))
        windows = {name: self._window(value) for name, value in self.returned.items()}
        after = self._after([name for name, j in windows.items() if j is None])
        shown = {name: self._output(j) for name, j in windows.items() if j is not None}
        feedback = {str(node.target): self._place(j) for j, node in self.carried.items()}
        self.graph.output(tuple(self.made[j] for j in self.results))
        step = fx.GraphModule(self.root, self.graph, class_name="Step")
        outputs = tuple(f"step_{i}" for i in range(len(self.results)))
        return Looped(step, self.inputs_TB, feedback, outputs, shown, after, tuple(self.returned))

    # --- one step

    def _step_call(self, j: int, call: fx.Node) -> fx.Node:
        if j in self.loop.indexed:
            return self._read_window(j, call)
        args, kwargs = call.args, dict(call.kwargs)
        target: Any = call.target
        if call.op == "call_module" and isinstance(layer := self.root.get_submodule(str(target)), STATEFUL):
            names = STATES.get(type(layer), ())
            given = dict(zip(names, args[1:], strict=False)) | {n: kwargs[n] for n in names if n in kwargs}
            if given and all(self._is_own_state(j, call, name, value) for name, value in given.items()):
                args, kwargs = args[:1], {n: x for n, x in kwargs.items() if n not in names}
                target = self._own_neuron(j, str(target))
        return self.graph.create_node(call.op, target, *self._sizes(call, self._mapped(args)), self._mapped(kwargs))

    def _sizes(self, call: fx.Node, args: Any) -> tuple[Any]:
        """Let a reshape that names the batch take any."""
        sizes = args[1:] if len(args) != 2 or not isinstance(args[1], tuple | list) else args[1]
        if call.target in ("view", "reshape") and sizes and all(type(x) is int for x in sizes):
            value, given = self.recorder.values[call], self.recorder.values[call.args[0]]  # type: ignore[index]
            if len(value) == len(given):
                return ((args[0], -1, *value.shape[1:]),)
        return (args,)

    def _is_own_state(self, j: int, call: fx.Node, name: str, value: Any) -> bool:
        """Return whether a neuron is handed the state that this call of it left, from 0 at first."""
        if value is None:
            return False
        kind, at = type(self.root.get_submodule(str(call.target))), self._back(value)
        if at is None:
            return False
        source = self.loop.call(at)
        own = source.target is operator.getitem and source.args[1] == returned_states(kind).index(name)
        return bool(own and source.args[0] is call) and self._starts_at_0(at, str(call.target))

    def _own_neuron(self, j: int, path: str) -> str:
        """Return the neuron of this call: where a neuron keeps several states, one for each."""
        calls = [i for i in range(self.loop.period) if self.loop.call(i).target == path]
        if calls[0] == j:
            return path
        own = f"{path.replace('.', '_')}_call_{calls.index(j) + 1}"
        self.root.add_module(own, copy.deepcopy(self.root.get_submodule(path)))
        return own

    def _mapped(self, value: Any) -> Any:
        return fx.map_arg(value, self._in_step)

    def _in_step(self, node: fx.Node) -> fx.Node:
        kind, place = self.loop.where(node, 1)
        if kind == "in":
            if place not in self.made:
                raise _no_step(node, "it reads what the loop has gathered so far")
            return self.made[place]
        if kind == "back":
            self._starts_at_0(place, node.name)
            if place not in self.carried:
                self.carried[place] = self.graph.placeholder(f"carried_{node.name}")
            return self.carried[place]
        return self._out(node)

    def _out(self, node: fx.Node) -> fx.Node:
        """Return what the loop reads from outside, alike in every step."""
        if node not in self.outside:
            if node.op == "get_attr":
                self.outside[node] = self.graph.get_attr(str(node.target))
            elif node.op == "placeholder":
                x_B = self.recorder.values[node]
                self.outside[node] = self._input(node.name, x_B.expand(self.loop.timesteps, *x_B.shape))
            else:
                args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), self._out)
                self.outside[node] = self.graph.create_node(node.op, node.target, *self._sizes(node, args), kwargs)
        return self.outside[node]

    def _input(self, name: str, x_TB: Tensor) -> fx.Node:
        free = next(n for n in (name, *(f"{name}_{i}" for i in range(2, 99))) if n not in self.inputs_TB)
        self.inputs_TB[free] = x_TB.contiguous()
        return self.graph.placeholder(free)

    def _read_window(self, j: int, call: fx.Node) -> fx.Node:
        source: Any = call.args[0]
        if self.loop.where(source, 1)[0] != "out":
            raise _no_step(call, "it reads what the loop computes by the step's index")
        x, axis = self.recorder.values[source], self.loop.indexed[j]
        if isinstance(x, tuple):  # for step in x
            dim = source.kwargs.get("dim", source.args[1] if len(source.args) > 1 else 0)
            if source.target not in ("unbind", torch.unbind):
                raise _no_step(source, "it splits a window")
            x, axis, source = self.recorder.values[source.args[0]], dim, source.args[0]
        axis %= x.ndim
        behind = _behind(source)
        if (source, axis) not in self.outside:
            x_TB = x.movedim(axis, 0)[: self.loop.timesteps]
            self.outside[source, axis] = self._input(behind, x_TB)
        index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
        at = [i for i, part in enumerate(index) if type(part) is int and part == 1]
        rest = tuple(part for i, part in enumerate(index) if i != at[0])
        if all(part is ... or part == slice(None) for part in rest):
            return self.outside[source, axis]
        return self.graph.call_function(operator.getitem, (self.outside[source, axis], rest))

    def _back(self, value: Any) -> int | None:
        kind, place = self.loop.where(value, 1) if isinstance(value, fx.Node) else ("", None)
        return place if kind == "back" else None

    def _starts_at_0(self, j: int, name: str) -> bool:
        start = self.loop.starts.get(j)
        value = torch.as_tensor(self.recorder.values[start] if isinstance(start, fx.Node) else start or 0)
        if bool((value != 0).any()):
            raise UnfaithfulError(
                f"'{name}'",
                f"before the loop over time it is {float(value[value != 0][0]):.6g}, and a bundle starts every "
                "sample from 0",
                "Start from 0",
            )
        return True

    # --- after the loop

    def _summand(self, j: int) -> fx.Node | None:
        """Return what a call adds up over time, where nothing in the loop reads the sum."""
        call = self.loop.call(j)
        name = call.target if isinstance(call.target, str) else getattr(call.target, "__name__", "")
        if name not in ACCUMULATIONS or len(call.args) != 2 or call.kwargs:
            return None
        for whole, part in (call.args, call.args[::-1]):
            if self._back(whole) == j and isinstance(part, fx.Node) and self.loop.where(part, 1)[0] == "in":
                steps = [self.loop.call(j, k) for k in range(self.loop.timesteps)]
                returned = {x for value in self.returned.values() for x in _nodes(value)}
                alone = all({*a.users} == {b} and a not in returned for a, b in pairwise(steps))
                return part if alone else None
        return None

    def _window(self, value: Any) -> int | None:
        """Return the call of the step whose values of all steps a returned value is, `None` where it is none."""
        if isinstance(value, _Window):
            return value.j
        if isinstance(value, fx.Node):
            at = self.loop.at(value)
            if at is not None:
                k, j = at
                return self._written(j) if k == self.loop.timesteps - 1 and j in self.written else None
            if value.target is torch.stack and isinstance(value.args[0], _Window):
                dim = value.kwargs.get("dim", value.args[1] if len(value.args) > 1 else 0)
                return value.args[0].j if dim == 0 else None
        return None

    def _written(self, j: int) -> int:
        call = self.loop.call(j)
        value: Any = call.args[2]
        kind, place = self.loop.where(value, 1) if isinstance(value, fx.Node) else ("", 0)
        start = self.loop.starts.get(j)
        if kind != "in" or call.args[1] != 1 or not isinstance(start, fx.Node):
            raise _no_step(call, "it writes by places")
        if len(self.recorder.values[start]) != self.loop.timesteps:
            raise _no_step(call, "it writes fewer steps than there is room for")
        return int(place)

    def _place(self, j: int) -> int:
        if j not in self.made:
            raise _no_step(self.loop.call(j), "what the loop gathers is read inside of it")
        if j not in self.results:
            self.results.append(j)
        return self.results.index(j)

    def _output(self, j: int) -> str:
        return f"step_{self._place(j)}"

    def _after(self, names: list[str]) -> dict[Literal["sequence", "window"], After]:
        forms: dict[Literal["sequence", "window"], dict[str, Any]] = {}
        for name in names:
            value = self.returned[name]
            if not isinstance(value, fx.Node):
                reason = f"it is a {type(value).__name__}, and not a tensor that the network computes"
                raise UnfaithfulError(f"output '{name}'", reason, "Return tensors")
            shape = self.recorder.values[value].shape
            batch = next(iter(self.inputs_TB.values())).shape[1]
            steps = tuple(shape[:2]) == (self.loop.timesteps, batch)
            if not steps and (len(shape) < 1 or shape[0] != batch):
                reason = f"its shape {tuple(shape)} has the batch of {batch} in front neither alone nor behind time"
                raise UnfaithfulError(f"output '{name}'", reason, "Return one value a sample, or a window of steps")
            forms.setdefault("sequence" if steps else "window", {})[name] = value
        return {form: _AfterGraph(self, values).build() for form, values in forms.items()}


class _AfterGraph:
    """The graph of what is done once the loop is over."""

    def __init__(self, splitter: _Splitter, values: dict[str, Any]) -> None:
        self.splitter, self.values = splitter, values
        self.loop, self.graph = splitter.loop, fx.Graph()
        self.windows: dict[int, fx.Node] = {}
        self.made: dict[fx.Node, Any] = {}

    def build(self) -> After:
        """Return it as a module."""
        self.graph.output(tuple(self._value(value) for value in self.values.values()))
        module = fx.GraphModule(self.splitter.root, self.graph, class_name="After")
        return After(module, tuple(self.splitter._output(j) for j in self.windows), tuple(self.values))

    def _of(self, j: int) -> fx.Node:
        if j not in self.windows:
            self.windows[j] = self.graph.placeholder(f"window_{len(self.windows)}")
        return self.windows[j]

    def _value(self, value: Any) -> Any:
        if isinstance(value, _Window):
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
            raise _no_step(node, "what stands after the loop reads what stands before it")
        if node.target is torch.stack and isinstance(node.args[0], _Window):
            dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
            return (
                self.graph.call_method("movedim", (self._of(node.args[0].j), 0, dim))
                if dim
                else self._of(node.args[0].j)
            )
        kwargs = {name: self._value(part) for name, part in node.kwargs.items()}
        args = self._value(node.args)
        return self.graph.create_node(node.op, node.target, *self.splitter._sizes(node, args), kwargs)

    def _from_loop(self, node: fx.Node, k: int, j: int) -> fx.Node:
        last = k == self.loop.timesteps - 1
        if last and j in self.splitter.written:
            return self._of(self.splitter._written(j))
        if last and j in self.splitter.summed:
            _, place = self.loop.where(self.splitter.summed[j], 1)
            self.splitter._starts_at_0(j, node.name)
            return self.graph.call_method("sum", (self._of(place), 0))
        return self.graph.call_function(operator.getitem, (self._of(j), -1 if last else k))


@dataclass(frozen=True)
class _Window:
    """The values of call `j` of all steps, in order."""

    j: int


def _windows(loop: Loop, value: Any) -> Any:
    """Put a `_Window` in the place of a list of all steps' values; in the calls after the loop too."""
    for call in loop.calls[loop.end :]:
        call.args = _found(loop, call.args)
    return _found(loop, value)


def _found(loop: Loop, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _found(loop, part) for key, part in value.items()}
    if not isinstance(value, tuple | list):
        return value
    places = [loop.at(x) if isinstance(x, fx.Node) else None for x in value]
    if places and places[0] is not None and places == [(k, places[0][1]) for k in range(loop.timesteps)]:
        return _Window(places[0][1])
    return type(value)(_found(loop, x) for x in value)


def _nodes(value: Any) -> list[fx.Node]:
    if isinstance(value, Mapping):
        return _nodes([*value.values()])
    if isinstance(value, tuple | list):
        return [x for part in value for x in _nodes(part)]
    return [value] if isinstance(value, fx.Node) else []


def _behind(node: fx.Node) -> str:
    """Return the input that a window is laid out from."""
    while node.op != "placeholder":
        if node.target not in LAYOUT and node.target is not operator.getitem:
            raise _no_step(node, "it computes on the whole window before the loop")
        node = node.all_input_nodes[0]
    return node.name


def _no_step(node: fx.Node, reason: str) -> UnfaithfulError:
    called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
    return UnfaithfulError(
        f"call '{node.name}' to {called}",
        f"{reason}, and forward loops over time",
        "Let the loop read its inputs and states, and what follows it what the loop gathered",
    )
