"""Exact counts of a chip stage, from a recording of any backend and the inputs that it ran on.

A *synapse* is a weight applied to an input element: `Affine`, `Linear`, `Conv1d`, `Conv2d`, `Scale`. A non-zero
value that reaches one is an event and costs its fan-out: an accumulate (AC) each where the value is exactly 1
or -1, since no product is needed, a multiply-accumulate (MAC) each where it is graded. Pooling and flattening
are no synapses: a pooled value is an event of the weighted node behind it (1 of a sum pool is an AC, 2 or an
average of 0.25 are MACs), and the pooling's own additions are listed in `not_counted`.

A neuron update is one neuron in one step. A neuron that NIR writes as several nodes, such as `LI -> Threshold ->
Scale` for a reset by subtraction, is updated once: at its membrane, with the state variables of all its nodes. Its
spikes stand at the Threshold, and the Scale is no synapse (`parts.py`).

Totals are integers, so they do not depend on the batch, its order or its split.

Shape suffixes: T steps, B samples, N the node's own shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import nir
import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeport.benchmarks.counting.fanout import WEIGHTED, fan_out
from spikeport.benchmarks.counting.parts import parts_of
from spikeport.benchmarks.counting.walk import Values, Walk
from spikeport.errors import UsageError
from spikeport.export.graph import SPIKING, ChipGraph
from spikeport.export.interpreter import check_inputs
from spikeport.export.recording import Recording


@dataclass(frozen=True)
class NeuronCounts:
    """A neuron node over all samples.

    Attributes:
        neurons: of the node.
        updates: one neuron in one step each; 0 for a node that is a part of another's neuron.
        spikes: `None` where it emits values.
        emitted: output elements.
        variables: state variables of one neuron, those of its other nodes included.
    """

    neurons: int
    updates: int
    spikes: int | None
    emitted: int
    variables: int


@dataclass(frozen=True)
class SynapseCounts:
    """A weighted node over all samples.

    Attributes:
        conv: whether its weights are shared over positions.
        events: non-zero values that reached it.
        ac: accumulates, by values of exactly 1 and -1.
        mac: multiply-accumulates, by all other non-zero values.
        dense: what a machine that skips no zero does: the whole fan-out map at every step.
        weights: stored weights.
        zero_weights: how many of them are exactly 0.
        outputs: output elements.
    """

    conv: bool
    events: int
    ac: int
    mac: int
    dense: int
    weights: int
    zero_weights: int
    outputs: int


@dataclass(frozen=True)
class StageCounts:
    """Totals over `samples` samples of `timesteps` steps, node by node.

    Attributes:
        samples: B.
        timesteps: T.
        neurons: by node name.
        synapses: by node name.
        not_counted: work in no figure: name -> reason.
    """

    samples: int
    timesteps: int
    neurons: Mapping[str, NeuronCounts]
    synapses: Mapping[str, SynapseCounts]
    not_counted: Mapping[str, str]

    @property
    def spikes(self) -> int:
        """Spikes of all spiking nodes."""
        return sum(n.spikes for n in self.neurons.values() if n.spikes is not None)

    @property
    def synops_ac(self) -> int:
        """Synaptic operations without a product."""
        return sum(s.ac for s in self.synapses.values())

    @property
    def synops_mac(self) -> int:
        """Synaptic operations with a product."""
        return sum(s.mac for s in self.synapses.values())

    @property
    def dense_macs(self) -> int:
        """What a machine that skips no zero does."""
        return sum(s.dense for s in self.synapses.values())

    @property
    def neuron_updates(self) -> int:
        """Neurons times steps."""
        return sum(n.updates for n in self.neurons.values())

    @property
    def state_accesses(self) -> int:
        """Every state variable read once and written once an update."""
        return sum(2 * n.variables * n.updates for n in self.neurons.values())


def count_stage(
    graph: ChipGraph,
    inputs_TBN: Mapping[str, ArrayLike],
    recording: Recording,
    nonzero_weights_only: bool = False,
    batch: int = 128,
) -> StageCounts:
    """Count what `recording` did.

    Args:
        graph: the stage.
        inputs_TBN: for each input node [T, B, *shape], as the recording was made from.
        recording: the spikes (values) of every neuron node.
        nonzero_weights_only: leave out synapses with a weight of exactly 0.
        batch: how many samples to hold at once; the result does not depend on it.

    Raises:
        UsageError: the recording lacks a neuron node, or its shapes are not the inputs'.
    """
    known = known_values(graph, inputs_TBN, recording)
    steps, samples = lengths(known)
    ones, graded = _events(graph, known, batch)
    synapses = {}
    for name in ones:
        fan = fan_out(graph.nodes[name], input_shape(graph, name), nonzero_weights_only)
        synapses[name] = _synapse_counts(graph, name, fan, ones[name], graded[name], samples * steps)
    variables = parts_of(graph).variables
    neurons = {name: _neuron_counts(graph, name, known[name], variables.get(name)) for name in graph.neurons}
    return StageCounts(samples, steps, neurons, synapses, _not_counted(graph))


def known_values(graph: ChipGraph, inputs_TBN: Mapping[str, ArrayLike], recording: Recording) -> dict[str, Values]:
    """Return what every input and neuron node sent, [T, B, *shape].

    Raises:
        UsageError: the recording lacks a neuron node, or its shapes are not the inputs'.
    """
    known = {**check_inputs(graph, inputs_TBN), **_recorded(graph, recording)}
    _check_lengths(graph, known)
    return known


def _recorded(graph: ChipGraph, recording: Recording) -> dict[str, Values]:
    for name in graph.neurons:
        if name not in recording.nodes:
            reason = "the recording does not hold it, and its events cannot be guessed"
            raise UsageError(f"node '{name}'", reason, "Record every neuron node")
    return {name: recording.aligned(name) for name in graph.neurons}


def lengths(known: Mapping[str, Values]) -> tuple[int, int]:
    """Return T and B."""
    steps, samples = next(iter(known.values())).shape[:2]
    return steps, samples


def _check_lengths(graph: ChipGraph, known: Mapping[str, Values]) -> None:
    steps, samples = lengths(known)
    for name, values in known.items():
        wanted = (steps, samples, *graph.shapes[name])
        if values.shape != wanted:
            raise UsageError(f"recording of '{name}' of shape {values.shape}", f"expected {wanted}", "Align it")


def _events(
    graph: ChipGraph, known: Mapping[str, Values], batch: int
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """Return, for each weighted node, how often each input element was +-1, and how often graded."""
    weighted = weighted_nodes(graph)
    ones = {n: np.zeros(input_shape(graph, n), dtype=np.int64) for n in weighted}
    graded = {n: np.zeros(input_shape(graph, n), dtype=np.int64) for n in weighted}
    for start in range(0, lengths(known)[1], batch):
        part = {n: x[:, start : start + batch] for n, x in known.items()}
        for _, name, unit_BN, other_BN in arrivals(graph, part, weighted):
            ones[name] += unit_BN.sum(axis=0)
            graded[name] += other_BN.sum(axis=0)
    return ones, graded


def weighted_nodes(graph: ChipGraph) -> list[str]:
    """Return the names of the nodes with synapses, in the graph's order."""
    resets = parts_of(graph).resets
    return [name for name in graph.order if isinstance(graph.nodes[name], WEIGHTED) and name not in resets]


def arrivals(
    graph: ChipGraph, known: Mapping[str, Values], weighted: Sequence[str]
) -> Iterator[tuple[int, str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield step, one of the `weighted` nodes, and where each message to it is +-1 and where graded, [B, *shape]."""
    walk = Walk(graph, known)
    for t in range(lengths(known)[0]):
        arriving = walk.step(t)
        for name in weighted:
            for z_BN in arriving[name]:
                unit_BN = np.abs(z_BN) == 1
                yield t, name, unit_BN, (z_BN != 0) & ~unit_BN


def input_shape(graph: ChipGraph, name: str) -> tuple[int, ...]:
    """Return the shape of what reaches a weighted node."""
    return graph.shapes[graph.predecessors[name][0]]


def _synapse_counts(
    graph: ChipGraph,
    name: str,
    fan: NDArray[np.int64],
    ones: NDArray[np.int64],
    graded: NDArray[np.int64],
    runs: int,
) -> SynapseCounts:
    node = graph.nodes[name]
    weight = np.asarray(node.scale if isinstance(node, nir.Scale) else node.weight)
    return SynapseCounts(
        conv=isinstance(node, nir.Conv1d | nir.Conv2d),
        events=int(ones.sum() + graded.sum()),
        ac=int((ones * fan).sum()),
        mac=int((graded * fan).sum()),
        dense=int(fan.sum()) * runs,
        weights=int(weight.size),
        zero_weights=int((weight == 0).sum()),
        outputs=int(np.prod(graph.shapes[name])),
    )


def _neuron_counts(graph: ChipGraph, name: str, values_TBN: Values, variables: int | None) -> NeuronCounts:
    """Return a node's counts; `variables` is `None` for one that is a part of another's neuron."""
    neurons, emitted = int(np.prod(graph.shapes[name])), int(values_TBN.size)
    spikes = int(np.count_nonzero(values_TBN)) if isinstance(graph.nodes[name], SPIKING) else None
    updates = 0 if variables is None else emitted
    return NeuronCounts(neurons, updates, spikes, emitted, variables or 0)


def _not_counted(graph: ChipGraph) -> dict[str, str]:
    listed = {}
    for name in graph.order:
        node = graph.nodes[name]
        if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
            listed[name] = "the additions inside its windows; its results count at the next weighted node"
        elif isinstance(node, nir.Delay):
            listed[name] = "the memory traffic of its delay line"
        elif np.any(getattr(node, "bias", 0)):
            listed[name] = "its bias, one addition per output and step; its synapses are counted"
    return listed
