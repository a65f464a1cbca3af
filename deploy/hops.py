"""From a NIR graph to hops: what stands between two neurons becomes one affine map.

A chip's synapses join neurons to neurons. So every chain of stateless nodes is composed, exactly up to
rounding, into one sparse matrix a pair of neuron nodes, and the constants into one bias a neuron node:

    I_target[t] = b + sum over hops of W y_source[t - lag]

`lag` counts the registers and delays on the way. Tensors are flattened in C order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from spikeport.deploy.linear import matrix, synapses
from spikeport.deploy.lowering.soft_reset import SoftReset
from spikeport.errors import UnfaithfulError
from spikeport.export.checks import OPERATORS
from spikeport.export.graph import NEURONS, ChipGraph, delay_steps

Array = NDArray[np.float64]
Source = tuple[str, int]

MAX_SYNAPSES = 30_000_000


class RefusedError(UnfaithfulError):
    """One node, or the loop that it is in, cannot be run as it stands."""

    def __init__(self, node: str, value: str, reason: str, fix: str) -> None:
        self.node = node
        self.value = value
        super().__init__(f"node '{node}'{f' ({value})' if value else ''}", reason, fix)

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, str, str, str]]:  # type: ignore[override]
        return type(self), (self.node, self.value, self.reason, self.fix)


@dataclass(frozen=True)
class Arriving:
    """What reaches a node: `b + sum of W y_source[t - lag]`.

    Attributes:
        weights: by (source, lag): [size of the node, size of the source].
        bias: [size of the node].
    """

    weights: Mapping[Source, csr_array]
    bias: Array

    def tap(self) -> str | None:
        """Return the source where this is nothing but that source's own output, else `None`."""
        if len(self.weights) != 1 or np.any(self.bias):
            return None
        (source, lag), weight = next(iter(self.weights.items()))
        if lag or weight.shape[0] != weight.shape[1]:
            return None
        return source if (weight != csr_array(eye_array(weight.shape[0]))).nnz == 0 else None


def compose(graph: ChipGraph, folded: Iterable[SoftReset] = ()) -> dict[str, Arriving]:
    """Return what reaches every neuron and output node.

    Args:
        graph: the stage.
        folded: neurons of several nodes, each of which has one entry, under its own name.

    Raises:
        RefusedError: an unrolled map is too large, a bias passes a delay, or a loop has no neuron.
    """
    folded = list(folded)
    composer = _Composer(graph, {f: neuron.membrane for neuron in folded for f in neuron.feedback})
    entries = {neuron.name: neuron.entry for neuron in folded}
    inside = {n for neuron in folded for n in (neuron.membrane, neuron.current) if n} - set(entries)
    ends = [n for n in graph.order if isinstance(graph.nodes[n], (*NEURONS, nir.Output)) and n not in inside]
    return {n: composer.arriving(entries.get(n, n)) for n in ends}


class _Composer:
    """`inner` are the nodes whose edge to the one that they name is part of a neuron, not of what reaches it."""

    def __init__(self, graph: ChipGraph, inner: Mapping[str, str]) -> None:
        self.graph = graph
        self.inner = inner
        self.known: dict[str, Arriving] = {}
        self.open: list[str] = []

    def arriving(self, name: str) -> Arriving:
        """Return the sum of what the predecessors of `name` emit."""
        weights: dict[Source, csr_array] = {}
        sources = [u for u in self.graph.predecessors[name] if self.inner.get(u) != name]
        bias = np.zeros(prod(self.graph.shapes[self.graph.predecessors[name][0]]))
        for source in sources:
            register = int((source, name) in self.graph.registers)
            emitted = self.emitted(source)
            bias = bias + emitted.bias
            for (origin, lag), weight in emitted.weights.items():
                key = (origin, lag + register)
                weights[key] = weights[key] + weight if key in weights else weight
        return Arriving(weights, bias)

    def emitted(self, name: str) -> Arriving:
        """Return what `name` emits, in terms of inputs and neurons."""
        if name not in self.known:
            if name in self.open:
                loop = " -> ".join((*self.open[self.open.index(name) :], name))
                raise RefusedError(name, "", f"the loop {loop} has no neuron in it", "Put a neuron into the loop")
            self.open.append(name)
            self.known[name] = self._emitted(name)
            self.open.pop()
        return self.known[name]

    def _emitted(self, name: str) -> Arriving:
        node, shape = self.graph.nodes[name], self.graph.shapes[name]
        if isinstance(node, (nir.Input, *NEURONS)):
            return Arriving({(name, 0): csr_array(eye_array(prod(shape)))}, np.zeros(prod(shape)))
        below = self.arriving(name)
        if isinstance(node, nir.Delay):
            return self._delayed(name, node, below)
        if not isinstance(node, OPERATORS):
            return below
        shape_in = self.graph.shapes[self.graph.predecessors[name][0]]
        if (count := synapses(node, shape)) > MAX_SYNAPSES:
            limit = f"more than the {MAX_SYNAPSES} that fit this machine"
            raise RefusedError(name, f"{count} synapses", f"unrolled it has {limit}", "Make the layer smaller")
        weight, bias = matrix(node, shape_in, shape)
        return Arriving({key: csr_array(weight @ w) for key, w in below.weights.items()}, weight @ below.bias + bias)

    def _delayed(self, name: str, node: nir.Delay, below: Arriving) -> Arriving:
        steps = delay_steps(name, node, self.graph.dt_s)
        if steps and np.any(below.bias):
            raise RefusedError(
                name,
                f"delay of {steps} steps",
                "a bias passes it, which would be absent in the first steps",
                "Move the bias behind the delay",
            )
        return Arriving({(origin, lag + steps): w for (origin, lag), w in below.weights.items()}, below.bias)
