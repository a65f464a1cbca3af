"""A membrane with a threshold behind it is one neuron, and a loop that takes off what a spike costs is its reset.

snnTorch's default reset is in NIR a loop `LI -> Threshold -> Scale -> LI` over a register,

    v[t] = beta v[t-1] + g x[t] - K s[t-1],    s[t] = v[t] > theta

which is one neuron that resets at once, by R = K / beta, since beta (v - R s) = beta v - K s:

    v[t] = beta v[t-1] + g x[t],    s[t] = v[t] > theta,    then v[t] = v[t] - R s[t]

Before its reset v is what the `LI` emits. Where beta is 0 there is no R; K then comes off one step later.
With K = 0, a threshold behind a membrane without a loop, it is a neuron without reset. An `LI` that does nothing but
feed the membrane is the neuron's synaptic current: snnTorch's Synaptic.

Shapes: `*` the shape of the node.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.export.graph import ChipGraph
from spikeport.export.neurons import CubaMembrane, Integrator, Membrane, neuron

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SoftReset:
    """One neuron of several nodes: a threshold behind a membrane, with what the spikes take off.

    Attributes:
        spikes: the `Threshold`, whose spikes are the neuron's; `None` where the membrane is only read.
        membrane: the `LI`, `CubaLI` or `I` whose value is compared; it shows v before the reset.
        current: the `LI` or `I` that does nothing but feed the membrane, where there is one.
        feedback: the `Scale` nodes of the loop, which the neuron stands for; none where nothing is reset.
        beta: [*shape], what the membrane keeps from step to step.
        theta: [*shape], the threshold; infinite where there is none.
        k: [*shape], what a spike takes off v one step later, at least 0.
    """

    spikes: str | None
    membrane: str
    current: str | None
    feedback: tuple[str, ...]
    beta: Array
    theta: Array
    k: Array

    @property
    def name(self) -> str:
        """The node that stands for the whole neuron."""
        return self.spikes or self.membrane

    @property
    def entry(self) -> str:
        """The node that the neuron's input enters."""
        return self.current or self.membrane

    @property
    def reset_by(self) -> Array:
        """R = K / beta, [*shape]: what a spike takes off v at once; 0 where beta is 0."""
        return np.divide(self.k, self.beta, out=np.zeros_like(self.k), where=self.beta > 0)

    @property
    def late(self) -> Array:
        """[*shape], what has to come off v one step later instead: K where beta is 0."""
        return np.where(self.beta > 0, 0.0, self.k)


def folded_neurons(graph: ChipGraph) -> dict[str, SoftReset]:
    """Return the neurons that stand in `graph` as several nodes, by `SoftReset.name`.

    These are membranes with a threshold behind them, and those that are only read with a synaptic current before them.
    """
    found: dict[str, SoftReset] = {}
    for membrane in graph.neurons:
        if isinstance(graph.nodes[membrane], nir.LI | nir.CubaLI | nir.I):
            one = _neuron(graph, membrane)
            if one is not None:
                found[one.name] = one
    # A current inside of one neuron is no neuron of its own.
    inside = {one.current for one in found.values()}
    return {name: one for name, one in found.items() if name not in inside}


def _neuron(graph: ChipGraph, membrane: str) -> SoftReset | None:
    thresholds = [w for w in _successors(graph, membrane) if isinstance(graph.nodes[w], nir.Threshold)]
    if len(thresholds) > 1:
        return None
    spikes = thresholds[0] if thresholds else None
    if spikes and (graph.predecessors[spikes] != (membrane,) or (membrane, spikes) in graph.registers):
        return None
    cell = neuron(graph, membrane)
    assert isinstance(cell, Membrane | Integrator)
    shape = graph.shapes[membrane]
    beta, gain = (1 - cell.a, cell.a * cell.r) if isinstance(cell, Membrane) else (np.ones(shape), cell.gain)
    if np.any(beta < 0):
        return None
    feedback = _feedback(graph, spikes, membrane, gain) if spikes else ()
    k = np.zeros(shape)
    for name in feedback:
        k = k - gain * np.asarray(graph.nodes[name].scale, dtype=np.float64)
    theta = np.broadcast_to(np.asarray(graph.nodes[spikes].threshold if spikes else np.inf, np.float64), shape)
    current = None if isinstance(cell, CubaMembrane) else _current(graph, membrane, feedback, gain)
    if current and np.any((beta == 0) & (k > 0)):
        current = None  # what has to come off v a step later would pass through the current
    return SoftReset(spikes, membrane, current, feedback, beta, theta, k) if spikes or current else None


def _successors(graph: ChipGraph, name: str) -> list[str]:
    return [w for u, w in graph.edges if u == name]


def _feedback(graph: ChipGraph, spikes: str, membrane: str, gain: Array) -> tuple[str, ...]:
    """Return the scales that only take the neuron's own spikes of the step before off its membrane."""
    if isinstance(graph.nodes[membrane], nir.CubaLI):
        return ()  # what comes back enters the current, not v
    return tuple(
        name
        for name in graph.predecessors[membrane]
        if isinstance(graph.nodes[name], nir.Scale)
        and graph.predecessors[name] == (spikes,)
        and _successors(graph, name) == [membrane]
        and len(graph.registers & {(spikes, name), (name, membrane)}) == 1
        and np.all(gain * np.asarray(graph.nodes[name].scale) <= 0)
    )


def _current(graph: ChipGraph, membrane: str, feedback: tuple[str, ...], gain: Array) -> str | None:
    """Return the node that is the neuron's synaptic current, `None` where the membrane takes its input at once."""
    sources = [name for name in graph.predecessors[membrane] if name not in feedback]
    if len(sources) != 1 or (sources[0], membrane) in graph.registers or np.any(gain == 0):
        return None
    (source,) = sources
    node = graph.nodes[source]
    alone = all(w == membrane or isinstance(graph.nodes[w], nir.Output) for w in _successors(graph, source))
    leaks = isinstance(node, nir.LI) and np.any(node.v_leak)
    return source if alone and isinstance(node, nir.LI | nir.I) and not leaks else None
