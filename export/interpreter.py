"""The reference interpreter: what a discrete-time NIR graph means, in float64 numpy.

Every backend is held against it. One step evaluates the nodes in topological order; an ordinary edge is
seen in the same step, a register edge carries its source's output of the step before, and what arrives at
a node is summed.

Shapes: T time, B batch, `*` the node's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import nir
import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeport.errors import UsageError
from spikeport.export.graph import NEURONS, SPIKING, ChipGraph
from spikeport.export.neurons import Array, DelayLine, Spikes, delay_line, neuron
from spikeport.export.operators import operator
from spikeport.export.recording import FLOAT64, Recording

Verdict = Callable[[str, Array, Spikes], Spikes]


class Interpreter:
    """Runs a `ChipGraph` step by step.

    Args:
        graph: the network.
        decide: called at every spiking node as `decide(name, v_BN, spikes_BN)` with the membrane before the
            reset and the spikes it would emit; what it returns is emitted instead. The audit uses it.
    """

    def __init__(self, graph: ChipGraph, decide: Verdict | None = None) -> None:
        self.graph = graph
        self.decide = decide
        self.neurons = {n: neuron(graph, n) for n in graph.neurons}
        delays = {n: delay_line(graph, n) for n, d in graph.nodes.items() if isinstance(d, nir.Delay)}
        self.delays: dict[str, DelayLine] = {n: line for n, line in delays.items() if line}
        stateless = (n for n in graph.order if n not in self.neurons and n not in self.delays)
        self.operators = {n: operator(graph.nodes[n]) for n in stateless}
        self.outputs: dict[str, Array] = {}

    def reset(self, batch: int) -> None:
        """Start `batch` samples: every state 0, and y[-1] as the initial state gives it."""
        for stateful in (*self.neurons.values(), *self.delays.values()):
            stateful.reset(batch)
        self.outputs = {n: np.zeros((batch, *shape)) for n, shape in self.graph.shapes.items()}
        if self.graph.registers:
            for name in self.operators:
                if not isinstance(self.graph.nodes[name], nir.Input):
                    self.outputs[name] = self.operators[name].apply(self.arriving(name))

    def arriving(self, name: str) -> Array:
        """Return the sum of what reaches `name`; `outputs` must hold its sources' values."""
        return sum_all([self.outputs[u] for u in self.graph.predecessors[name]])

    def step(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Advance one step; return every node's output, spikes as 0 and 1."""
        before, self.outputs = self.outputs, {}
        for name in self.graph.order:
            self.outputs[name] = self._evaluate(name, inputs, before)
        for name, line in self.delays.items():
            line.push(self._gather(name, before))
        return self.outputs

    def _evaluate(self, name: str, inputs: Mapping[str, Array], before: Mapping[str, Array]) -> Array:
        node = self.graph.nodes[name]
        if isinstance(node, nir.Input):
            return inputs[name]
        if name in self.delays:
            return self.delays[name].head()
        arriving = self._gather(name, before)
        if not isinstance(node, NEURONS):
            return self.operators[name].apply(arriving)
        cell = self.neurons[name]
        v_BN = cell.integrate(arriving)
        if not isinstance(node, SPIKING):
            return v_BN
        spikes_BN = v_BN > cell.v_threshold
        if self.decide:
            spikes_BN = self.decide(name, v_BN, spikes_BN)
        cell.fire(spikes_BN)
        return spikes_BN.astype(np.float64)

    def _gather(self, name: str, before: Mapping[str, Array]) -> Array:
        registers = self.graph.registers
        sources = self.graph.predecessors[name]
        return sum_all([(before if (u, name) in registers else self.outputs)[u] for u in sources])


def sum_all(terms: list[Array]) -> Array:
    """Return the sum of at least one array."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def run(graph: ChipGraph, inputs_TBN: Mapping[str, ArrayLike], batch: int = 128) -> Recording:
    """Run `graph` from the zero state over all samples.

    Args:
        graph: the network.
        inputs_TBN: for each input node, [T, B, *shape].
        batch: how many samples to hold in memory at once; the result does not depend on it.

    Returns:
        The spikes of every spiking node, the values of every value node, and the graph's outputs.
    """
    arrays = check_inputs(graph, inputs_TBN)
    parts = [_run_batch(graph, part) for part in split_batch(arrays, batch)]
    nodes = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    return Recording(nodes, dict.fromkeys(nodes, 0), len(next(iter(arrays.values()))), FLOAT64)


def _run_batch(graph: ChipGraph, arrays: Mapping[str, Array]) -> dict[str, NDArray[np.generic]]:
    interpreter = Interpreter(graph)
    first = next(iter(arrays.values()))
    interpreter.reset(first.shape[1])
    recorded = recorded_nodes(graph)
    rows: dict[str, list[NDArray[np.generic]]] = {name: [] for name in recorded}
    for t in range(len(first)):
        outputs = interpreter.step({n: x[t] for n, x in arrays.items()})
        for name in recorded:
            spiking = isinstance(graph.nodes[name], SPIKING)
            rows[name].append(outputs[name].astype(np.uint8) if spiking else outputs[name])
    return {name: np.stack(values) for name, values in rows.items()}


def recorded_nodes(graph: ChipGraph) -> tuple[str, ...]:
    """Return the nodes that a recording holds: all neurons, and the outputs."""
    return (*graph.neurons, *graph.outputs)


def split_batch(arrays: Mapping[str, Array], batch: int) -> Iterator[dict[str, Array]]:
    """Yield the samples in runs of at most `batch`."""
    samples = next(iter(arrays.values())).shape[1]
    for start in range(0, samples, batch):
        yield {n: x[:, start : start + batch] for n, x in arrays.items()}


def check_inputs(graph: ChipGraph, inputs_TBN: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Return the inputs as float64 arrays.

    Raises:
        UsageError: an input is missing, unknown, not finite, or of the wrong shape.
    """
    if set(inputs_TBN) != set(graph.inputs):
        raise UsageError(f"inputs {sorted(inputs_TBN)}", f"the network takes {sorted(graph.inputs)}", "Name each once")
    arrays = {n: np.asarray(x, dtype=np.float64) for n, x in inputs_TBN.items()}
    lengths = {x.shape[:2] for x in arrays.values()}
    for name, x in arrays.items():
        if x.shape[2:] != graph.shapes[name]:
            wanted = f"[T, B, {', '.join(map(str, graph.shapes[name]))}]"
            raise UsageError(f"input '{name}' of shape {x.shape}", f"the network takes {wanted}", "Reshape it")
        if not np.all(np.isfinite(x)):
            raise UsageError(f"input '{name}'", "it holds NaN or infinity", "Clean the data")
    if len(lengths) != 1 or 0 in next(iter(lengths)):
        raise UsageError(f"inputs of [T, B] = {sorted(lengths)}", "all need the same T and B, at least 1", "Align them")
    return arrays
