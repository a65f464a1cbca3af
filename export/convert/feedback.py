"""Feedback by hand: an argument of forward that is one of its outputs of the step before, `def forward(x, prev)`.

The user names it, `feedback={"prev": 1}`: argument -> place among forward's outputs. `prev` is 0 at each sample's
first step. Inside one chip graph it becomes register edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, fx, nn

from spikeport.errors import UnfaithfulError, UsageError, did_you_mean
from spikeport.export.convert.builder import Builder, Rewrite, Signal
from spikeport.export.convert.states import Carried
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import Interpreter
from spikeport.export.shapes import Shape

ELEMENTWISE = ("add", "iadd", "add_", "sub", "isub", "sub_", "mul", "imul", "mul_")
CELLS = (nn.GRUCell, nn.RNNCell, nn.LSTMCell)


@dataclass(frozen=True)
class Loop:
    """A value that forward is handed back one step later.

    Attributes:
        place: where it comes out, among the traced step's outputs.
        shape: without batch.
    """

    place: int
    shape: Shape


def returned_nodes(graph: fx.Graph) -> tuple[Any, ...]:
    """Return what a traced forward returns, as a tuple."""
    (output,) = (node for node in graph.nodes if node.op == "output")
    value = output.args[0]
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def places(graph: fx.Graph, carried: Carried, feedback: Mapping[str, int]) -> dict[str, int]:
    """Return for each argument in `feedback` its place among the traced outputs, states not counted.

    Raises:
        UsageError: there is no such argument or output, or it is a neuron's state.
        UnfaithfulError: it hands an argument on as it came.
    """
    returned = returned_nodes(graph)
    found = {}
    for name, place in feedback.items():
        if name not in carried.arguments:
            raise UsageError(
                f"feedback '{name}'", "forward has no such argument", did_you_mean(name, carried.arguments)
            )
        if name in carried.loops or place in set(carried.loops.values()) - set(carried.kept):
            raise UsageError(f"feedback '{name}'", "it is a neuron's state, which is found without", "Leave it out")
        if place not in carried.kept:
            raise UsageError(
                f"feedback '{name}': {place}", f"forward's outputs are {list(carried.kept)}", "Name one, counted from 0"
            )
        found[name] = carried.kept.index(place)
    for value in returned if found else ():
        if isinstance(value, fx.Node) and value.op == "placeholder":
            raise UnfaithfulError(
                f"argument '{value.target}'",
                "forward returns it as it came, beside the feedback",
                "Return what the network computes; a delayed input is an input of its own",
            )
    return found


def require_samples(arguments: tuple[str, ...], sample: Mapping[str, Any], feedback: Mapping[str, int]) -> None:
    """Hold forward's arguments against the sample.

    Raises:
        UsageError: an argument has neither a sample nor feedback, or the sample has another name.
    """
    missing = [name for name in arguments if name not in sample and name not in feedback]
    if missing and set(sample) <= set(arguments):
        raise UsageError(
            f"argument '{missing[0]}' of forward",
            f"the sample has no tensor for it: there are {sorted(sample)}",
            f"Give one; or, if it is an output of the step before, pass feedback={{'{missing[0]}': <its place among "
            "forward's outputs>}",
        )
    if missing or not set(sample) <= set(arguments):
        raise UsageError(f"sample {sorted(sample)}", f"forward takes {list(arguments)}", "Give one tensor for each")


def loops_of(
    module: fx.GraphModule, arguments: tuple[str, ...], sample_B: Mapping[str, Tensor], found: Mapping[str, int]
) -> dict[str, Loop]:
    """Return the loops with the shape of what they carry, told from a step in which it is not known yet.

    Raises:
        UsageError: the shape cannot be told.
    """
    values_B: dict[str, Any] = dict(sample_B)
    batch = len(next(iter(sample_B.values())))
    waiting = [name for name in found if name not in values_B]
    while waiting:
        returned = _Guess(module, batch).run(*[values_B.get(name) for name in arguments])
        returned = returned if isinstance(returned, tuple | list) else (returned,)
        told = [name for name in waiting if returned[found[name]] is not None]
        if not told:
            raise UsageError(
                f"feedback '{waiting[0]}'",
                "its shape cannot be told from one step without it",
                "Bring it in by a sum with a tensor of its shape, or through a Linear layer",
            )
        values_B |= {name: torch.zeros_like(returned[found[name]]) for name in told}
        waiting = [name for name in waiting if name not in told]
    return {name: Loop(place, tuple(values_B[name].shape[1:])) for name, place in found.items()}


def zero_start(loops: Mapping[str, Loop], sample_B: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the loops carry into a sample's first step: 0."""
    like = next(iter(sample_B.values()))
    return {name: torch.zeros(len(like), *loop.shape, dtype=like.dtype) for name, loop in loops.items()}


def require_shapes(loops: Mapping[str, Loop], returned: Any) -> None:
    """Hold what comes out of a step against what went in.

    Raises:
        UsageError: a loop's value has another shape than it was taken for, or is no tensor.
    """
    values_B = returned if isinstance(returned, tuple | list) else (returned,)
    for name, loop in loops.items():
        value = values_B[loop.place]
        shape = tuple(value.shape[1:]) if isinstance(value, Tensor) else None
        if shape != loop.shape:
            raise UsageError(
                f"feedback '{name}'", f"it goes in as {loop.shape} and comes out as {shape}", "Name another output"
            )


class _Guess(fx.Interpreter):
    """Runs a step in which some arguments are not known (`None`), as far as shapes need it."""

    def __init__(self, module: fx.GraphModule, batch: int) -> None:
        super().__init__(module)
        self.batch = batch

    def run_node(self, n: fx.Node) -> Any:
        if n.op in ("placeholder", "get_attr", "output"):
            return super().run_node(n)
        read = [self.env[source] for source in n.all_input_nodes]
        if all(value is not None for value in read):
            return super().run_node(n)
        known = [value for value in read if isinstance(value, Tensor)]
        layer = self.submodules.get(str(n.target)) if n.op == "call_module" else None
        if isinstance(layer, CELLS) and known:
            hidden_BH = known[0].new_zeros((len(known[0]), layer.hidden_size))
            return (hidden_BH, hidden_BH) if isinstance(layer, nn.LSTMCell) else hidden_BH
        if isinstance(layer, nn.Linear):
            return torch.zeros(self.batch, layer.out_features)
        name = n.target if isinstance(n.target, str) else getattr(n.target, "__name__", "")
        return known[0] if name in ELEMENTWISE and known else None


def close_loops(builder: Builder, outputs: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Replace input nodes by register edges from what feeds output nodes.

    Where a node reads a value of this step and of the step before, a Scale of 1 with the input's name stands between.

    Args:
        builder: holds the whole graph.
        outputs: for each input node to replace, the output node that shows what it carries.

    Returns:
        For each input node, the nodes whose sum it carried.

    Raises:
        UnfaithfulError: it carries another input, or another loop's value.
    """
    back: dict[str, tuple[str, ...]] = {}
    for name, output in outputs.items():
        back[name] = tuple(u for u, w in builder.edges if w == output)
        inputs = [u for u in back[name] if isinstance(builder.nodes[u], nir.Input)]
        if inputs:
            raise UnfaithfulError(
                f"feedback '{name}'",
                f"it is '{inputs[0]}' of the step before as it came, which no register edge carries",
                "Feed back what a neuron emits",
            )
    for name, sources in back.items():
        shape = tuple(builder.nodes.pop(name).input_type["input"])
        readers = [w for u, w in builder.edges if u == name]
        direct = {(u, w) for u in sources for w in readers}
        if direct & set(builder.edges):
            builder.add(name, nir.Scale(scale=np.ones(shape)), Signal(sources, shape))
            builder.registers |= {(u, name) for u in sources}
        else:
            builder.edges = [edge for edge in builder.edges if edge[0] != name] + sorted(direct)
            builder.registers |= direct
        builder.rewrites.append(Rewrite(name, "feedback by hand as register edges, 0 at a sample's first step"))
    return back


def require_zero_start(graph: ChipGraph, back: Mapping[str, tuple[str, ...]]) -> None:
    """Hold what the loops carry into the first step, as NIR has it, against forward's 0.

    Raises:
        UnfaithfulError: a source gives something else before the first step, such as a bias.
    """
    if not back:
        return
    interpreter = Interpreter(graph)
    interpreter.reset(1)
    for name, sources in back.items():
        for source in sources:
            start = interpreter.outputs[source].ravel()
            if np.any(start):
                raise UnfaithfulError(
                    f"feedback '{name}'",
                    f"it comes from node '{source}', which gives {start[start != 0][0]:.6g} before the first step, "
                    "where forward starts from 0",
                    "Feed back the spikes, and apply the layer with the bias where they are read",
                )
