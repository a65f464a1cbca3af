"""Which calls of a traced step run on a chip, and which on the host beside it.

What no chip has (the product of two signals, softmax, norms, rectified or gated values, LSTM cells) runs on the host,
neurons run on a chip. A chip sends spikes, or shows a membrane; so a stateless call (weights, pooling, sums) belongs to
the neurons that it feeds, and what a host operation or an output reads without a neuron behind it is computed on the
host. A call that both read is computed on both sides.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import fx, nn

from spikeport.export.convert.feedback import returned_nodes
from spikeport.export.convert.functions import target_name
from spikeport.export.convert.pooling import is_plain
from spikeport.export.convert.private import STATEFUL
from spikeport.export.convert.trace import Trace
from spikeport.export.host_state import HOST_NEURONS

Side = Literal["chip", "host"]
SIDES: tuple[Side, ...] = ("chip", "host")

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
PARTS = ("chunk", "split", "unbind")
# What changes no value.
WIRES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Flatten)
WIRE_CALLS = ("dropout", *RESHAPES)


@dataclass(frozen=True)
class Placed:
    """A traced step of whose calls each has a side.

    Attributes:
        graph: the step's; a call that both sides read stands in it twice.
        sides: of each call but those that see no input, or give no tensor: each reader has its own copy of these.
        fixed: the calls that have no choice.
        twice: the calls that are computed on both sides.
    """

    graph: fx.Graph
    sides: Mapping[fx.Node, Side]
    fixed: frozenset[fx.Node]
    twice: tuple[str, ...]

    @property
    def calls(self) -> tuple[fx.Node, ...]:
        """The calls in order."""
        return tuple(_calls(self.graph))

    @property
    def levels(self) -> dict[fx.Node, int]:
        """The number of each call's part, even on a chip, odd on the host: as few cuts as the order allows."""
        levels: dict[fx.Node, int] = {}
        for node in self.calls:
            base = max((levels[n] for n in node.all_input_nodes if n in levels), default=0)
            side = self.sides.get(node)
            levels[node] = base + (side is not None and base % 2 != SIDES.index(side))
        for node in reversed(self.calls):
            # As late as its readers allow, so that a layer stands with what it feeds.
            latest = min((levels[user] for user in node.users if user in levels), default=levels[node])
            side = self.sides.get(node)
            if node not in self.fixed:
                levels[node] = max(levels[node], latest - (side is not None and latest % 2 != SIDES.index(side)))
        return levels

    @property
    def needs_host(self) -> bool:
        """Whether a call runs on the host."""
        return "host" in self.sides.values()


def placed(traced: Trace, answer: Side = "host") -> Placed:
    """Give every call of a step its side.

    Args:
        traced: the step; left untouched.
        answer: where the network's outputs are computed, as far as they are not a neuron's.
    """
    return _Placing(traced, answer).run()


class _Placing:
    def __init__(self, traced: Trace, answer: Side) -> None:
        self.traced, self.answer = traced, answer
        copies: dict[fx.Node, fx.Node] = {}
        self.graph = fx.Graph()
        returned = self.graph.graph_copy(traced.module.graph, copies)
        self.graph.output(returned)
        self.shapes = {copy: traced.shapes.get(node.name) for node, copy in copies.items()}
        self.sides: dict[fx.Node, Side] = {}
        self.carried: set[fx.Node] = set()
        self.fed_back: set[fx.Node] = set()

    def run(self) -> Placed:
        """Return the step with its sides."""
        # A chip has no tuples: each part is taken out of the whole where it is read.
        self._part({node for node in _calls(self.graph) if target_name(node) in PARTS})
        apart = self._constants()
        for node in _calls(self.graph):
            if node not in apart and (side := self._must(node)) is not None:
                self.sides[node] = side
        fixed = frozenset(self.sides)
        loose = [node for node in _calls(self.graph) if node not in fixed | apart]
        self._find_loops(set(loose))
        twice = [node.name for node in reversed(loose) if self._follow(node)]
        self._part(apart)
        self.graph.lint()
        return Placed(self.graph, self.sides, fixed, tuple(reversed(twice)))

    def _constants(self) -> set[fx.Node]:
        """Return the calls that see no input, or give no tensor."""
        found: set[fx.Node] = set()
        for node in _calls(self.graph):
            given = all(n.op == "get_attr" or n in found for n in node.all_input_nodes)
            if given or self.shapes[node] is None:
                found.add(node)
        return found

    def _part(self, calls: set[fx.Node]) -> None:
        """Give every reader of a call a copy of its own: only tensors [B, *shape] pass between stages."""
        for node in [node for node in reversed(self.graph.nodes) if node in calls]:
            for user in list(node.users)[1:]:
                self._double(node, [user])

    def _double(self, node: fx.Node, users: Iterable[fx.Node]) -> fx.Node:
        with self.graph.inserting_after(node):
            copy = self.graph.node_copy(node)
        self.shapes[copy] = self.shapes[node]
        for user in users:
            user.replace_input_with(node, copy)
        return copy

    def _find_loops(self, loose: set[fx.Node]) -> None:
        """Find what closes a loop over neurons, which stays on the chip: what it carries, and who reads that."""
        placeholders = [node for node in self.graph.nodes if node.op == "placeholder"]
        returned = returned_nodes(self.graph)
        for argument, name in zip(placeholders, self.traced.inputs, strict=True):
            if loop := self.traced.loops.get(name):
                there = _reached(argument, loose)
                if any(self.sides.get(user) == "chip" for node in (argument, *there) for user in node.users):
                    self.carried.add(returned[loop.place])
                    self.fed_back |= there

    def _follow(self, node: fx.Node) -> bool:
        """Give a stateless call the side of what reads it; return whether both sides do."""
        readers = {user: self._side_of(node, user) for user in node.users}
        on_host = [user for user, side in readers.items() if side == "host"]
        both = on_host and "chip" in readers.values()
        self.sides[node] = "host" if on_host and not both else "chip"
        if not both or node in self.fed_back:
            return False
        self.sides[self._double(node, on_host)] = "host"
        return True

    def _side_of(self, node: fx.Node, user: fx.Node) -> Side | None:
        if user.op == "output":
            return "chip" if node in self.carried else self.answer
        return self.sides.get(user)

    def _must(self, node: fx.Node) -> Side | None:
        """Return where a call must run, `None` where its readers tell; what shows a neuron stands with the neuron."""
        layer, name = self._layer(node), target_name(node)
        first = node.all_input_nodes[0]
        if isinstance(layer, nn.MaxPool1d | nn.MaxPool2d):
            return "chip" if self._is_binary(first) and is_plain(layer) else "host"
        if isinstance(layer, HOST_LAYERS) or (layer is None and node.target in HOST_CALLS):
            return "host"
        if isinstance(layer, STATEFUL):
            return "chip"
        if node.target is operator.getitem and first.op == "call_module" and isinstance(node.args[1], int):
            return self.sides.get(first)  # one of the states that a neuron or a cell returns
        if node.target is torch.stack and not all(self._flattens(user) for user in node.users):
            return "host"
        if layer is None and name in RESHAPES and not self._flattens(node):
            return "host"
        if layer is None and name in PRODUCTS:
            return "host" if all(isinstance(a, fx.Node) and a.op != "get_attr" for a in node.args[:2]) else None
        return "chip" if self._is_wire(node) and self.sides.get(first) == "chip" else None

    def _is_binary(self, node: fx.Node) -> bool:
        """Return whether a value is spikes of 0 and 1 on a chip: a neuron's, perhaps flattened or pooled."""
        if self.sides.get(node) != "chip":
            return False
        layer: Any = self._layer(node)
        if node.target is operator.getitem:
            layer = self._layer(node.args[0]) if node.args[1] == 0 else None
        if isinstance(layer, STATEFUL):
            factor: Any = layer.graded_spikes_factor
            return bool((factor == 1).all())
        return isinstance(layer, nn.MaxPool1d | nn.MaxPool2d) or (
            self._is_wire(node) and self._is_binary(node.all_input_nodes[0])
        )

    def _is_wire(self, node: fx.Node) -> bool:
        """Return whether a call changes no value."""
        layer = self._layer(node)
        return isinstance(layer, WIRES) or (layer is None and target_name(node) in WIRE_CALLS)

    def _flattens(self, node: fx.Node) -> bool:
        """Return whether a reshape changes nothing or flattens, which is all that NIR has."""
        before, after = self.shapes[node.all_input_nodes[0]], self.shapes[node]
        if before is None or after is None or node.op == "output":
            return False
        layer = self._layer(node)
        if isinstance(layer, nn.Flatten) or (layer is None and target_name(node) == "flatten"):
            return True
        return layer is None and target_name(node) in RESHAPES and (after == before or len(after) == 1)

    def _layer(self, node: Any) -> nn.Module | None:
        called = isinstance(node, fx.Node) and node.op == "call_module"
        return self.traced.module.get_submodule(str(node.target)) if called else None


def _calls(graph: fx.Graph) -> Iterable[fx.Node]:
    return (node for node in graph.nodes if node.op not in ("placeholder", "output", "get_attr"))


def _reached(start: fx.Node, among: set[fx.Node]) -> set[fx.Node]:
    """Return the nodes of `among` that the value of `start` reaches through nothing else."""
    found: set[fx.Node] = set()
    new = [start]
    while new:
        further = set(new.pop().users) & among - found
        found |= further
        new += further
    return found
