"""What forward changes: a value in place, which is put in the form that makes a new one, or a buffer, which is refused.

Where a call changes a value in place, torch's later readers of that value get the changed one. So do the graph's: they
read the call's result, and the call becomes the one that leaves its argument alone (`x.add_(y)`: `x.add(y)`).
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.functions import target_name
from spikeport.export.shapes import Shape

STATE_FIX = "Keep all state in neurons; or take it as an argument, return the new one, and name it in feedback="
NEW_TENSOR = "Use the form that makes a new tensor"
# Their forms without the underscore mean something else.
OTHERWISE = ("bernoulli_",)


class StepProbe(fx.Interpreter):
    """Runs a step once, and remembers what it sees.

    Attributes:
        shapes: the shape of every value (of a tuple, of its first), without batch; `None` for no tensor.
        values: every value as it stands after the step.
        changed: for each call that changes arguments in place, those.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, Shape | None] = {}
        self.values: dict[fx.Node, Any] = {}
        self.changed: dict[fx.Node, list[fx.Node]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one call."""
        read = {a: x for a in n.all_input_nodes if isinstance(x := self.values[a], Tensor) and n.op != "output"}
        versions = {a: x._version for a, x in read.items()}
        value = super().run_node(n)
        changed = [a for a, x in read.items() if x._version != versions[a]]
        if changed:
            self.changed[n] = changed
        self.values[n] = value
        first = value[0] if isinstance(value, tuple) and value else value
        self.shapes[n.name] = tuple(first.shape[1:]) if isinstance(first, Tensor) else None
        return value


class _Proxy(fx.Proxy):
    """A stand-in that tells `x += y`, and `x[...] = y`, from what makes a new tensor."""

    def __setitem__(self, key: Any, value: Any) -> None:
        fix = "Use torch.where, torch.cat, or a product with a mask of 0 and 1"
        raise UnfaithfulError("x[...] = ... in forward", "it changes a value in place, by places", fix)


def _changing(function: Any) -> Any:
    def method(self: fx.Proxy, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul", "iand", "ior", "ixor"):
    setattr(_Proxy, f"__{_name}__", _changing(getattr(operator, _name)))


class ChangeTracer(fx.Tracer):
    """Traces what changes a value in place as such; torch's own tracer takes `x += y` for `x + y`."""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the stand-in for a call's value."""
        return _Proxy(node, self)


def refuse_new_buffers(root: nn.Module) -> None:
    """Refuse a traced forward that puts a value in the place of a buffer.

    Raises:
        UnfaithfulError: naming the buffer.
    """
    for path, module in root.named_modules():
        for name, value in module._buffers.items():
            if isinstance(value, fx.Proxy):
                where = f"{path}.{name}" if path else name
                raise UnfaithfulError(f"buffer '{where}'", "forward gives it a new value in every step", STATE_FIX)


def undo_changes(graph: fx.Graph, root: nn.Module, probe: StepProbe, fed_back: Mapping[str, Any]) -> None:
    """Let no call of the step change its argument.

    Args:
        graph: of the step.
        root: what it calls; a private copy.
        probe: what it saw of the step.
        fed_back: the arguments that are values of the step before.

    Raises:
        UnfaithfulError: a call changes what lives from step to step, or what is read later in another shape.
    """
    states = {s for m in root.modules() for x in (*m._buffers.values(), *vars(m).values()) for s in _storages(x)}
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node, changed in probe.changed.items():
        call = f"call '{node.name}' to {_called(node)}"
        target = node.args[0] if node.args else None
        if not isinstance(target, fx.Node) or target not in changed:
            raise UnfaithfulError(call, f"it changes '{changed[0].name}' in place", NEW_TENSOR)
        storages = _storages(probe.values[target])
        others = [m for m in order if storages & _storages(probe.values.get(m)) and order[m] < order[node]]
        for other in others:
            if other.op == "get_attr" or (other.op == "placeholder" and other.name in fed_back):
                raise UnfaithfulError(call, f"it changes '{other.target}', which lives from step to step", STATE_FIX)
        if storages & states:
            raise UnfaithfulError(call, f"it changes '{target.name}', a neuron's state", NEW_TENSOR)
        for other in others:
            later = [user for user in other.users if order[user] > order[node]]
            if later and not _equal(probe.values[other], probe.values[node]):
                reason = f"it changes '{target.name}' in place, and '{other.name}', of the same memory, is read later"
                raise UnfaithfulError(call, reason, NEW_TENSOR)
            for user in later:
                user.replace_input_with(other, node)
        if not _make_new(node, root):
            raise UnfaithfulError(call, f"it changes '{target.name}' in place", NEW_TENSOR)


def _called(node: fx.Node) -> str:
    return f"layer '{node.target}'" if node.op == "call_module" else target_name(node)


def _storages(value: Any) -> set[int]:
    """Return where a value lies in memory."""
    if isinstance(value, tuple | list):
        return {address for part in value for address in _storages(part)}
    return {value.untyped_storage().data_ptr()} - {0} if isinstance(value, Tensor) else set()


def _equal(a: Any, b: Any) -> bool:
    """Return whether two values are the same elements of the same memory."""
    both = isinstance(a, Tensor) and isinstance(b, Tensor)
    return both and (a.data_ptr(), a.shape, a.stride()) == (b.data_ptr(), b.shape, b.stride())


def _make_new(node: fx.Node, root: nn.Module) -> bool:
    """Let a call make a new tensor; return whether it has such a form."""
    name = target_name(node)
    if node.op == "call_module":
        layer: Any = root.get_submodule(str(node.target))
        there = getattr(layer, "inplace", None) is True
        if there:
            layer.inplace = False
        return there
    if name in OTHERWISE:
        return False
    if node.op == "call_method":
        node.target = name.removesuffix("_")
        return name.endswith("_") and hasattr(Tensor, node.target)
    if inspect.isfunction(node.target) and "inplace" in inspect.signature(node.target).parameters:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
        bound.arguments["inplace"] = False
        node.args, node.kwargs = bound.args, bound.kwargs
        return True
    plain = None
    if getattr(operator, name, None) is node.target:
        plain = getattr(operator, name.removeprefix("i"), None)
    elif name.endswith("_"):
        plain = getattr(torch, name[:-1], None) or getattr(F, name[:-1], None)
    if plain is not None:
        node.target = plain
    return plain is not None
