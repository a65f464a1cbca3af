"""Cutting a traced step into parts that run on a chip and parts that run on the host beside it.

Which call runs where is `sides`'; calls of one side are one part as far as the order of operations allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import fx
from torch.fx.passes.split_module import split_module

from spikeport.export.convert.feedback import returned_nodes
from spikeport.export.convert.trace import Trace
from spikeport.export.sides import SIDES, Placed, Side


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

    kind: Side
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


def cut(traced: Trace, step: Placed, stem: str = "") -> Cut:
    """Cut a traced step into parts by the sides of its calls; names of tensors between them begin with `stem`."""
    levels = step.levels
    module = fx.GraphModule(traced.module, step.graph)
    root = split_module(module, module, lambda node: levels[node])
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
    return Part(SIDES[level % 2], module, inputs, outputs)


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
