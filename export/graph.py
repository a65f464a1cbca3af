"""A chip stage: a flat NIR graph whose meaning is fixed by an explicit time step and its register edges.

NIR states differential equations and leaves the step, and what a loop means, open. `ChipGraph` adds both
and nothing else; the interpreter, every backend and every counter start from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from math import prod
from typing import Literal

import nir
import numpy as np

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.checks import check_node, check_parameters
from spikeport.export.flatten import flatten
from spikeport.export.shapes import MAX_ELEMENTS, Shape, as_shape, output_shape

Edge = tuple[str, str]
IfStep = Literal["euler", "per-step"]

SPIKING = (nir.LIF, nir.CubaLIF, nir.IF, nir.Threshold)
VALUED = (nir.LI, nir.CubaLI, nir.I)
NEURONS = SPIKING + VALUED


@dataclass(frozen=True)
class ChipGraph:
    """NIR nodes and edges with a time step.

    Attributes:
        nodes: NIR nodes by name; no nested graphs.
        edges: (source, target) pairs; several edges into a node sum.
        registers: the edges that carry their source's output of the step before.
        dt_s: the time step in seconds.
        shapes: each node's output shape, without time and batch.
        if_step: how `I` and `IF` with r other than 1 and 1/dt integrate, where the user has said it:
            `"euler"` is v += dt r I, `"per-step"` is v += r I.
    """

    nodes: Mapping[str, nir.NIRNode]
    edges: tuple[Edge, ...]
    registers: frozenset[Edge]
    dt_s: float
    shapes: Mapping[str, Shape]
    if_step: IfStep | None = None

    @classmethod
    def from_nir(
        cls,
        graph: nir.NIRGraph,
        dt_s: float,
        registers: Iterable[Edge] | None = None,
        if_step: IfStep | None = None,
    ) -> ChipGraph:
        """Flatten and check `graph`.

        Args:
            graph: any NIR graph; nested ones are flattened to dotted names.
            dt_s: the time step in seconds.
            registers: the register edges; `None` finds those that one spiking node per loop implies.
            if_step: see the class.

        Raises:
            UnfaithfulError: a node, edge, shape or loop has no defined meaning.
        """
        check_dt(dt_s)
        nodes, edges = flatten(graph)
        for name, node in nodes.items():
            check_node(name, node, dt_s)
        _check_edges(nodes, edges)
        found = implied_registers(nodes, edges, dt_s) if registers is None else frozenset(registers)
        if stray := found - set(edges):
            raise UsageError(f"register {sorted(stray)[0]}", "the graph has no such edge", "Name an edge as u:w")
        shapes = _infer_shapes(nodes, edges, _order(nodes, edges, found, dt_s))
        return cls(nodes, tuple(edges), found, dt_s, shapes, if_step)

    def to_nir(self) -> nir.NIRGraph:
        """Return the plain NIR graph; `dt_s` and `registers` travel in the bundle's manifest."""
        return nir.NIRGraph(dict(self.nodes), list(self.edges), metadata={}, type_check=False)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Node names so that every ordinary edge points forward."""
        return _order(self.nodes, self.edges, self.registers, self.dt_s)

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """The sources of each node's incoming edges, registers included."""
        sources: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            sources[target].append(source)
        return {name: tuple(names) for name, names in sources.items()}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input nodes."""
        return tuple(n for n, node in self.nodes.items() if isinstance(node, nir.Input))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output nodes."""
        return tuple(n for n, node in self.nodes.items() if isinstance(node, nir.Output))

    @property
    def spiking(self) -> tuple[str, ...]:
        """Names of the nodes that emit spikes, in order of evaluation."""
        return tuple(n for n in self.order if isinstance(self.nodes[n], SPIKING))

    @property
    def neurons(self) -> tuple[str, ...]:
        """Names of the nodes with a membrane or a threshold, in order of evaluation."""
        return tuple(n for n in self.order if isinstance(self.nodes[n], NEURONS))


def check_dt(dt_s: float) -> None:
    """Raise `UsageError` for a time step that is none."""
    if not (np.isfinite(dt_s) and dt_s > 0):
        raise UsageError(f"dt_s = {dt_s}", "a time step is a positive number of seconds", "Give --dt in seconds")


def delay_steps(name: str, node: nir.Delay, dt_s: float) -> int:
    """Return the delay in whole steps.

    Raises:
        UnfaithfulError: the delay is not a whole number of steps within 1e-6, or differs between elements.
    """
    steps = np.unique(np.asarray(node.delay, dtype=np.float64) / dt_s)
    whole = np.rint(steps)
    if np.any(np.abs(steps - whole) > 1e-6) or np.unique(whole).size != 1 or whole[0] < 0:
        raise UnfaithfulError(
            f"node '{name}'",
            f"its delay is {steps.tolist()} steps of {dt_s} s, and a delay is one whole number of steps",
            "Choose a dt that divides it",
        )
    return int(whole[0])


def implied_registers(nodes: Mapping[str, nir.NIRNode], edges: Iterable[Edge], dt_s: float) -> frozenset[Edge]:
    """Return the register edges of loops that hold exactly one spiking node: its edges into its loop.

    Raises:
        UnfaithfulError: a loop without, or with several, spiking nodes, whose step NIR leaves open.
    """
    edges = list(edges)
    waits = {n for n, node in nodes.items() if isinstance(node, nir.Delay) and delay_steps(n, node, dt_s) > 0}
    registers: set[Edge] = set()
    for part in _loops(nodes, [e for e in edges if e[1] not in waits]):
        spiking = [n for n in part if isinstance(nodes[n], SPIKING)]
        if len(spiking) != 1:
            raise UnfaithfulError(
                f"loop through {sorted(part)}",
                f"it has {len(spiking)} spiking nodes, so NIR does not say which edge waits one step",
                f"Name those that carry the step before, each with --register u:w: {_shown(edges, part)}",
            )
        registers |= {(u, w) for u, w in edges if u == spiking[0] and w in part}
    return frozenset(registers)


def _shown(edges: Iterable[Edge], part: set[str], most: int = 8) -> str:
    """The edges inside a loop as `--register` takes them."""
    inner = [f"{u}:{w}" for u, w in edges if u in part and w in part]
    return ", ".join(inner[:most]) + (f" and {len(inner) - most} more" if len(inner) > most else "")


def _loops(nodes: Mapping[str, nir.NIRNode], edges: list[Edge]) -> list[set[str]]:
    """Strongly connected parts that contain a cycle."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    names = list(nodes)
    index = {n: i for i, n in enumerate(names)}
    rows = [index[u] for u, _ in edges]
    cols = [index[w] for _, w in edges]
    matrix = csr_matrix((np.ones(len(edges)), (rows, cols)), shape=(len(names), len(names)))
    _, labels = connected_components(matrix, directed=True, connection="strong")
    parts: dict[int, set[str]] = {}
    for name, label in zip(names, labels, strict=True):
        parts.setdefault(int(label), set()).add(name)
    return [p for p in parts.values() if len(p) > 1 or any(u == w and u in p for u, w in edges)]


def _order(
    nodes: Mapping[str, nir.NIRNode], edges: Iterable[Edge], registers: frozenset[Edge], dt_s: float
) -> tuple[str, ...]:
    sorter: TopologicalSorter[str] = TopologicalSorter({name: [] for name in nodes})
    for source, target in edges:
        node = nodes[target]
        waits = isinstance(node, nir.Delay) and delay_steps(target, node, dt_s) > 0
        if (source, target) not in registers and not waits:
            sorter.add(target, source)
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        loop = " -> ".join(reversed(error.args[1]))
        raise UnfaithfulError(f"loop {loop}", "no edge in it is a register", "Name one with --register u:w") from None


def _check_edges(nodes: Mapping[str, nir.NIRNode], edges: list[Edge]) -> None:
    for source, target in edges:
        for end in (source, target):
            if end not in nodes:
                raise UnfaithfulError(f"edge {source} -> {target}", f"there is no node '{end}'", "Mend the graph")
    if len(set(edges)) != len(edges):
        raise UnfaithfulError("edges", "an edge appears twice", "Merge them, with a Scale of 2 for a sum")
    targets = {w for _, w in edges}
    for name, node in nodes.items():
        if not isinstance(node, nir.Input) and name not in targets:
            raise UnfaithfulError(f"node '{name}'", "nothing feeds it", "Connect or remove it")
        if isinstance(node, nir.Input) and name in targets:
            raise UnfaithfulError(f"node '{name}'", "an input is fed by another node", "Mend the edges")


def _infer_shapes(nodes: Mapping[str, nir.NIRNode], edges: list[Edge], order: tuple[str, ...]) -> dict[str, Shape]:
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        sources[target].append(source)
    shapes: dict[str, Shape] = {}
    waiting = list(order)
    while waiting:
        # A node behind a register or a delay stands early in the order: its sources' shapes may come later.
        known = (n for n in waiting if not sources[n] or any(u in shapes for u in sources[n]))
        name = next(known, waiting[0])
        waiting.remove(name)
        arriving = next((shapes[u] for u in sources[name] if u in shapes), None)
        shape = _declared_shape(name, nodes[name]) if arriving is None else arriving
        shapes[name] = output_shape(name, nodes[name], shape)
        if prod(shapes[name]) > MAX_ELEMENTS:
            raise UnfaithfulError(
                f"node '{name}'", f"its shape is {shapes[name]}, out of all bounds", "Check the graph"
            )
        check_parameters(name, nodes[name], shapes[name])
    for name, names in sources.items():
        arrivals = {shapes[u] for u in names}
        if len(arrivals) > 1:
            raise UnfaithfulError(f"node '{name}'", f"its inputs have shapes {sorted(arrivals)}", "Check the edges")
        if arrivals and output_shape(name, nodes[name], arrivals.pop()) != shapes[name]:
            raise UnfaithfulError(f"node '{name}'", "its input is not of the shape that it declares", "Check the edges")
    return shapes


def _declared_shape(name: str, node: nir.NIRNode) -> Shape:
    """Shape of an input, or of a node that only its own loop feeds, as nir declares it."""
    declared = (node.input_type or {}).get("input")
    if declared is None or not np.issubdtype(np.asarray(declared).dtype, np.number):
        raise UnfaithfulError(f"node '{name}'", "its input shape is not known", "Declare its input type")
    shape = as_shape(declared)
    if any(n < 1 for n in shape):
        raise UnfaithfulError(f"node '{name}'", f"its shape is {shape}", "A size is at least 1")
    return shape
