"""The NIR graph under construction, and the signals that its converters pass to each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import nir
import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeport.export.graph import ChipGraph, Edge
from spikeport.export.shapes import Shape

Array = NDArray[np.float64]

UNUSED = "no output depends on it: removed"


@dataclass(frozen=True)
class Signal:
    """A value of the traced network: the sum of the outputs of NIR nodes.

    Attributes:
        sources: node names; a name that stands twice counts twice.
        shape: without batch.
    """

    sources: tuple[str, ...]
    shape: Shape

    def __add__(self, other: Signal) -> Signal:
        return Signal(self.sources + other.sources, self.shape)


@dataclass(frozen=True)
class Rewrite:
    """A change of form that keeps the meaning.

    Attributes:
        node: what was rewritten.
        what: in words.
        bound: `exact` in real arithmetic, or the bound in words.
    """

    node: str
    what: str
    bound: str = "exact"


@dataclass(frozen=True)
class Tap:
    """Where the torch model shows what a NIR node emits.

    Attributes:
        fx_node: the traced call.
        read: `output` of the call (spikes: where it is not 0), one of the module's states after it, or `above`:
            where its membrane then exceeds its threshold.
    """

    fx_node: str
    read: Literal["output", "mem", "syn", "syn_exc", "syn_inh", "rise", "fall", "above"] = "output"


@dataclass
class Builder:
    """Collects nodes, edges, register edges, taps and rewrites.

    `call` is the traced call under conversion; `shared` names the nodes whose value more than one call reads;
    `potentials` the node that emits the membrane of a call's neuron, where no tap shows it; `double` says whether the
    model computes in float64, not float32.
    """

    dt_s: float
    call: str = ""
    double: bool = False
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    registers: set[Edge] = field(default_factory=set)
    taps: dict[str, Tap] = field(default_factory=dict)
    rewrites: list[Rewrite] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)
    potentials: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, node: nir.NIRNode, signal: Signal, shape: Shape | None = None) -> Signal:
        """Add `node` fed by `signal`; return what it emits (of `shape`, by default the input's)."""
        if name in self.nodes:
            raise AssertionError(f"two nodes are called {name}")
        self.nodes[name] = node
        for source, times in Counter(signal.sources).items():
            self.edges.append((source if times == 1 else self._multiply(source, times, signal.shape), name))
        return Signal((name,), signal.shape if shape is None else shape)

    def name(self, wanted: str) -> str:
        """Return `wanted`, or the next free name of its kind."""
        names = (wanted, *(f"{wanted}_{i}" for i in range(2, len(self.nodes) + 3)))
        return next(name for name in names if name not in self.nodes)

    def register(self, spikes: Signal, back: Signal, entry: str) -> None:
        """Close a loop: `spikes` of the step before pass through the node of `back` into `entry`."""
        self.registers.add((spikes.sources[0], back.sources[0]))
        self.edges.append((back.sources[0], entry))

    def input(self, name: str, shape: Shape) -> Signal:
        """Add an input node."""
        self.nodes[name] = nir.Input(input_type={"input": np.array(shape)})
        return Signal((name,), shape)

    def output(self, name: str, signal: Signal) -> None:
        """Add an output node."""
        self.add(name, nir.Output(output_type={"output": np.array(signal.shape)}), signal)

    def prune(self) -> None:
        """Remove what no output depends on."""
        used = {name for name, node in self.nodes.items() if isinstance(node, nir.Output)}
        grown = True
        while grown:
            more = {u for u, w in self.edges if w in used} - used
            used |= more
            grown = bool(more)
        for name in [n for n, node in self.nodes.items() if n not in used and not isinstance(node, nir.Input)]:
            del self.nodes[name]
            self.taps.pop(name, None)
            self.rewrites.append(Rewrite(name, UNUSED))
        self.edges = [edge for edge in self.edges if edge[0] in self.nodes and edge[1] in self.nodes]
        self.registers &= set(self.edges)

    def graph(self) -> ChipGraph:
        """Return the checked graph."""
        return ChipGraph.from_nir(
            nir.NIRGraph(self.nodes, self.edges, metadata={}, type_check=False), self.dt_s, self.registers
        )

    def _multiply(self, source: str, times: int, shape: Shape) -> str:
        """NIR knows an edge once; x + x is a Scale of 2."""
        name = self.name(f"{source}_times_{times}")
        self.nodes[name] = nir.Scale(scale=np.full(shape, float(times)))
        self.edges.append((source, name))
        self.rewrites.append(Rewrite(source, f"summed {times} times as a Scale of {times}"))
        return name


def without_batch(value: ArrayLike, shape: Shape) -> Array:
    """Return a constant [1, *shape] without the axis that torch spreads over the batch; any other as it is."""
    array = np.asarray(value, dtype=np.float64)
    return array[0] if array.ndim == len(shape) + 1 and len(array) == 1 else array


def full(value: object, shape: Shape, name: str) -> Array:
    """Return a neuron parameter for every element, as NIR wants it.

    A parameter of shape () or (1,) holds for all elements; one that broadcasts to `shape` as torch would
    holds as torch means it.
    """
    array = without_batch(np.asarray(value, dtype=np.float64), shape)
    if array.size == 1:
        return np.full(shape, float(array.reshape(())))
    try:
        return np.array(np.broadcast_to(array, shape))
    except ValueError:
        from spikeport.errors import UnfaithfulError

        raise UnfaithfulError(
            f"'{name}'", f"a parameter of shape {array.shape} does not fit {shape}", "Give one value, or one an element"
        ) from None
