"""A chip stage as layers of neurons and the patterns between them: `deploy.hops` without the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import nir
import numpy as np
from scipy.sparse import csr_array

from spikeport.benchmarks.occupancy.pattern import Counts, Grid, Pattern, fan, grid_of, identity, pattern_of, union
from spikeport.deploy.hops import Arriving, Source
from spikeport.deploy.latency import schedule
from spikeport.deploy.lowering.soft_reset import folded_neurons
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import NEURONS, ChipGraph, delay_steps

Patterns = dict[Source, list[Pattern]]


@dataclass(frozen=True)
class Hop:
    """Synapses from one population to another.

    Attributes:
        source: an input or a layer.
        target: a layer.
        wait: extra steps before they deliver.
        patterns: whose union they are.
    """

    source: str
    target: str
    wait: int
    patterns: Sequence[Pattern]

    @property
    def learned(self) -> bool:
        """Whether weights differ from each other."""
        return any(p.learned for p in self.patterns)

    @property
    def kernel(self) -> int | None:
        """The weights that stand for all of them where kernels are shared; `None` where some are not shared."""
        sizes = [p.kernel for p in self.patterns]
        return None if None in sizes else sum(k for k in sizes if k is not None)


@dataclass(frozen=True)
class Structure:
    """The stage.

    Attributes:
        inputs: sizes of the inputs.
        layers: sizes of the populations, in order of evaluation.
        hops: between them.
    """

    inputs: Mapping[str, int]
    layers: Mapping[str, int]
    hops: Sequence[Hop]

    def into(self, layer: str) -> list[Hop]:
        """Return what feeds `layer`."""
        return [hop for hop in self.hops if hop.target == layer]

    def axons(self, layer: str, of: Literal["out", "in"]) -> dict[str, Counts]:
        """Return by source which of its elements reach how many neurons, or how many reach each neuron, [N].

        A source is one, however many connections it has to `layer`.
        """
        patterns: dict[str, list[Pattern]] = {}
        for hop in self.into(layer):
            patterns.setdefault(hop.source, []).extend(hop.patterns)
        return {source: fan(union(p), of) for source, p in patterns.items()}


def structure_of(graph: ChipGraph) -> Structure:
    """Return the layers and connections of `graph`.

    A bias adds no synapse here, as it adds none to a neuron without synaptic state.

    Raises:
        UnfaithfulError: a connection's synapses are not known, an output reads more than a population, or a neuron
            stands in the graph as several nodes.
    """
    for name in folded_neurons(graph):
        reason = "it is several nodes of the graph, and here every node with a membrane counts as a population"
        raise UnfaithfulError(f"neuron '{name}'", reason, "Deploy it on 'loihi', whose mapping counts it once")
    walk = _Walk(graph)
    arriving = {name: walk.arriving(name) for name in graph.order if isinstance(graph.nodes[name], NEURONS)}
    for name in graph.outputs:
        _require_tap(name, walk.arriving(name))
    # Which sources there are decides the schedule, and no weight does.
    none, zero = csr_array((1, 1)), np.zeros(1)
    plan = schedule({n: Arriving(dict.fromkeys(p, none), zero) for n, p in arriving.items()}, graph.inputs)
    hops = [
        Hop(source, target, plan.wait[source, lag, target], union(patterns))
        for target, into in arriving.items()
        for (source, lag), patterns in into.items()
    ]
    sizes = {name: prod(graph.shapes[name]) for name in (*graph.inputs, *arriving)}
    return Structure({n: sizes[n] for n in graph.inputs}, {n: sizes[n] for n in arriving}, hops)


def _require_tap(name: str, into: Patterns) -> None:
    if len(into) == 1:
        ((_, lag), patterns) = next(iter(into.items()))
        if not lag and len(patterns) == 1 and patterns[0].is_identity():
            return
    reason = "synapses feed an output, and only a neuron's spikes or membrane can be read"
    raise UnfaithfulError(f"output '{name}'", reason, "End the stage at the neurons")


class _Walk:
    def __init__(self, graph: ChipGraph) -> None:
        self.graph = graph
        self.known: dict[str, tuple[Patterns, Grid]] = {}

    def arriving(self, name: str) -> Patterns:
        """Return the patterns of all that feeds `name`, by source and lag."""
        found: Patterns = {}
        self.grid_into(name)
        for source in self.graph.predecessors[name]:
            register = int((source, name) in self.graph.registers)
            for (origin, lag), patterns in self.emitted(source)[0].items():
                found.setdefault((origin, lag + register), []).extend(patterns)
        return found

    def grid_into(self, name: str) -> Grid:
        """Return the grid of what feeds `name`."""
        grids = {self.emitted(source)[1] for source in self.graph.predecessors[name]}
        if len(grids) > 1:
            raise UnfaithfulError(f"node '{name}'", f"it sums pictures of {sorted(grids)}", "Flatten behind the sum")
        return grids.pop()

    def emitted(self, name: str) -> tuple[Patterns, Grid]:
        """Return what `name` emits in terms of inputs and populations, and its grid."""
        if name not in self.known:
            self.known[name] = self._emitted(name)
        return self.known[name]

    def _emitted(self, name: str) -> tuple[Patterns, Grid]:
        node, shapes = self.graph.nodes[name], self.graph.shapes
        if isinstance(node, (nir.Input, *NEURONS)):
            grid = grid_of(shapes[name])
            return {(name, 0): [identity(grid)]}, grid
        below, grid = self.arriving(name), self.grid_into(name)
        if isinstance(node, nir.Delay):
            steps = delay_steps(name, node, self.graph.dt_s)
            return {(origin, lag + steps): p for (origin, lag), p in below.items()}, grid
        own = pattern_of(name, node, shapes[self.graph.predecessors[name][0]], grid)
        channels, rows, columns = (len(axis) for axis in own.axes)
        through = {key: [own.after(p) for p in patterns] for key, patterns in below.items()}
        return through, (channels, rows, columns)
