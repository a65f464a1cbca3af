"""Cutting a traced step into parts that run on a chip and parts that run on the host beside it.

What no chip has (the product of two signals, softmax, norms, rectified or gated values, LSTM cells) makes a host part.
Neurons make chip parts. Everything else goes to the part that reads it, so that a weighted
layer stands with the neurons that it feeds, and there are as few cuts as the order of operations allows.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.split_module import split_module

from spikeport.export.convert.feedback import returned_nodes
from spikeport.export.convert.functions import target_name
from spikeport.export.convert.private import STATEFUL
from spikeport.export.convert.trace import Trace
from spikeport.export.host_state import HOST_NEURONS
from spikeport.export.shapes import Shape

Kind = Literal["chip", "host"]

HOST_LAYERS: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.GELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softmax,
    nn.LogSoftmax,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.Unflatten,
    nn.RNNCell,
    nn.GRUCell,
    nn.LSTMCell,
    *HOST_NEURONS,
)
HOST_CALLS: frozenset[Any] = frozenset(
    (
        operator.matmul,
        torch.matmul,
        torch.bmm,
        torch.einsum,
        torch.relu,
        torch.sigmoid,
        torch.tanh,
        torch.softmax,
        torch.exp,
        torch.sqrt,
        torch.mean,
        torch.sum,
        torch.transpose,
        torch.permute,
        torch.unsqueeze,
        F.relu,
        F.gelu,
        F.silu,
        F.sigmoid,
        F.tanh,
        F.softmax,
        F.normalize,
        F.layer_norm,
        *("matmul", "bmm", "relu", "sigmoid", "tanh", "softmax", "exp", "sqrt", "mean", "sum"),
        *("transpose", "permute", "unsqueeze", "squeeze", "norm", "clamp"),
    )
)
PRODUCTS = ("mul", "imul", "mul_", "truediv", "itruediv", "div", "div_")
RESHAPES = ("view", "reshape", "flatten")


@dataclass(frozen=True)
class Part:
    """A part of the step as a module of its own.

    Attributes:
        kind: where it runs.
        module: computes one step; its arguments are `inputs`.
        inputs: for each argument, the tensor that it reads.
        outputs: the tensors that it writes, in the order in which it returns them.
        loops: the arguments that are an output of this very part of the step before, with its place.
    """

    kind: Kind
    module: fx.GraphModule
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]
    loops: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """A step in parts.

    Attributes:
        parts: in order of execution.
        outputs: the tensors that the whole step returns.
        feedback: for each tensor that carries another of the step before, which.
    """

    parts: tuple[Part, ...]
    outputs: tuple[str, ...]
    feedback: Mapping[str, str]

    @property
    def registers(self) -> dict[str, str]:
        """The feedback between parts."""
        read = {tensor for part in self.parts for argument, tensor in part.inputs if argument not in part.loops}
        return {tensor: source for tensor, source in self.feedback.items() if tensor in read}


def needs_host(traced: Trace) -> bool:
    """Return whether any operation of the step can run on the host only."""
    return any(_kind(node, traced) == "host" for node in traced.module.graph.nodes)


def cut(traced: Trace, stem: str = "") -> Cut:
    """Cut a traced step into parts; the names of the tensors between them begin with `stem`."""
    levels = _levels(traced)
    root = split_module(traced.module, traced.module, lambda node: levels[node])
    tensors: dict[fx.Node, str | tuple[str, ...]] = {}
    names = iter(traced.inputs)
    parts: list[Part] = []
    for node in root.graph.nodes:
        if node.op == "placeholder":
            tensors[node] = next(names)
        elif node.op == "call_module":
            part = _part(root, node, tensors, stem)
            parts.append(part)
            tensors[node] = part.outputs if len(part.outputs) > 1 else part.outputs[0]
        elif node.op == "call_function":
            source, index = node.args
            tensors[node] = tensors[source][index]
    outputs = tuple(str(tensors[node]) for node in returned_nodes(root.graph))
    feedback = {name: outputs[loop.place] for name, loop in traced.loops.items()}
    return Cut(tuple(_closed(part, feedback) for part in parts), outputs, feedback)


def _closed(part: Part, feedback: Mapping[str, str]) -> Part:
    """Note which feedback stays inside the part."""
    carried = {argument: feedback[tensor] for argument, tensor in part.inputs if tensor in feedback}
    places = {argument: part.outputs.index(source) for argument, source in carried.items() if source in part.outputs}
    return replace(part, loops=places)


def _part(root: fx.GraphModule, node: fx.Node, tensors: Mapping[fx.Node, Any], stem: str) -> Part:
    module = root.get_submodule(str(node.target))
    assert isinstance(module, fx.GraphModule)
    level = int(str(node.target).removeprefix("submod_"))
    _keep_constants(root, node, module)
    arguments = [str(n.target) for n in module.graph.nodes if n.op == "placeholder"]
    count = len(returned_nodes(module.graph))
    tensor = f"{stem}stage_{level}"
    outputs = (tensor,) if count == 1 else tuple(f"{tensor}_{i}" for i in range(count))
    sources = [source for source in node.args if isinstance(source, fx.Node) and source.op != "get_attr"]
    inputs = tuple((name, str(tensors[source])) for name, source in zip(arguments, sources, strict=True))
    return Part("host" if level % 2 else "chip", module, inputs, outputs)


def _keep_constants(root: fx.GraphModule, node: fx.Node, module: fx.GraphModule) -> None:
    """Let a part hold the constants that torch would hand it as arguments."""
    arguments = [n for n in module.graph.nodes if n.op == "placeholder"]
    for argument, source in zip(arguments, node.args, strict=True):
        if not isinstance(source, fx.Node) or source.op != "get_attr":
            continue
        owner, _, name = str(source.target).rpartition(".")
        kept = f"constant_{argument.name}"
        module.register_buffer(kept, getattr(root.get_submodule(owner), name).detach())
        with module.graph.inserting_before(argument):
            argument.replace_all_uses_with(module.graph.get_attr(kept))
        module.graph.erase_node(argument)
    module.recompile()


def _levels(traced: Trace) -> dict[fx.Node, int]:
    """Return the number of each call's part: even on a chip, odd on the host."""
    calls = [n for n in traced.module.graph.nodes if n.op not in ("placeholder", "output", "get_attr")]
    kinds = {node: _kind(node, traced) for node in calls}
    levels: dict[fx.Node, int] = {}
    for node in calls:
        base = max((levels[n] for n in node.all_input_nodes if n in levels), default=0)
        wrong = {"chip": base % 2 == 1, "host": base % 2 == 0}.get(kinds[node] or "", False)
        levels[node] = base + wrong
    for node in reversed(calls):
        readers = [levels[user] for user in node.users if user in levels]
        if kinds[node] is None and readers:
            levels[node] = min(readers)
    if all(kinds[node] is None for node in calls if levels[node] == 0):
        # Before the first neuron there is nothing that a chip could keep.
        levels = {node: level or 1 for node, level in levels.items()}
    return levels


def _kind(node: fx.Node, traced: Trace) -> Kind | None:
    """Return where a call must run, `None` where it may run in either place."""
    if node.op == "call_module":
        layer = traced.module.get_submodule(str(node.target))
        if _is_spiking(node, traced):
            return "chip"
        if isinstance(layer, nn.MaxPool1d | nn.MaxPool2d):
            return None if _is_binary(node.all_input_nodes[0], traced) else "host"
        return "host" if isinstance(layer, HOST_LAYERS) else None
    if node.op not in ("call_function", "call_method"):
        return None
    if node.target is operator.getitem and node.all_input_nodes[0].op == "call_module":
        return _kind(node.all_input_nodes[0], traced)
    name = target_name(node)
    if name in PRODUCTS:
        return "host" if all(isinstance(a, fx.Node) and a.op != "get_attr" for a in node.args[:2]) else None
    if name in RESHAPES and node.all_input_nodes:
        return (
            None if _flattens(name, traced.shapes[node.all_input_nodes[0].name], traced.shapes[node.name]) else "host"
        )
    return "host" if node.target in HOST_CALLS else None


def _is_spiking(node: fx.Node, traced: Trace) -> bool:
    layer = traced.module.get_submodule(str(node.target)) if node.op == "call_module" else None
    return isinstance(layer, STATEFUL) and not isinstance(layer, HOST_NEURONS)


def _is_binary(node: fx.Node, traced: Trace) -> bool:
    """Return whether a call gives spikes of 0 and 1, not graded ones."""
    layer: Any = traced.module.get_submodule(str(node.target)) if _is_spiking(node, traced) else None
    return layer is not None and bool((layer.graded_spikes_factor == 1).all())


def _flattens(name: str, before: Shape | None, after: Shape | None) -> bool:
    """Return whether a reshape changes nothing or flattens, which is all that NIR has."""
    return before is not None and after is not None and (name == "flatten" or after == before or len(after) == 1)
