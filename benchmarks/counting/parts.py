"""Nodes that are one neuron together, which is updated once a step.

NIR has no neuron that resets by subtraction, and none with a synaptic current that a zero reset leaves alone: such a
neuron is written as several nodes. Its comparison and its reset are parts of the update that an energy model prices,
so they are no update and no synapse of their own.

- `V -> Threshold`: the comparison of the neuron whose membrane is the LI, CubaLI or I node V.
- `Threshold -> Scale -> V` with `g scale = -threshold`, g the gain of V: its reset by subtraction.
- `W -> V` without a weight between, W a LI, CubaLI or I that feeds nothing else: a state variable more of V's neuron.

The scales between the two currents of an exported snnTorch Alpha are none of these, and count as synapses.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.export.graph import VALUED, ChipGraph
from spikeport.export.neurons import if_gain

STATE_VARIABLES: dict[type[nir.NIRNode], int] = {
    nir.LIF: 1, nir.IF: 1, nir.LI: 1, nir.I: 1, nir.CubaLIF: 2, nir.CubaLI: 2, nir.Threshold: 0,
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """Which nodes are parts of another node's neuron.

    Attributes:
        variables: of each neuron node that is updated, the state variables of one neuron with all its parts.
        resets: the Scale nodes that are resets.
    """

    variables: dict[str, int]
    resets: frozenset[str]


def parts_of(graph: ChipGraph) -> Parts:
    """Return the parts of all neurons of `graph`."""
    targets = {name: [w for u, w in graph.edges if u == name] for name in graph.nodes}
    valued = {name for name in graph.neurons if isinstance(graph.nodes[name], VALUED)}
    into = {name: targets[name][0] for name in valued if len(targets[name]) == 1 and targets[name][0] in valued}
    compared = {
        name: graph.predecessors[name][0]
        for name in graph.neurons
        if isinstance(graph.nodes[name], nir.Threshold)
        and len(graph.predecessors[name]) == 1
        and graph.predecessors[name][0] in valued
    }
    variables = {
        name: STATE_VARIABLES[type(graph.nodes[name])]
        for name in graph.neurons
        if name not in into and name not in compared
    }
    for name in into:
        owner = _last(into, name)
        variables[owner] = variables.get(owner, 0) + STATE_VARIABLES[type(graph.nodes[name])]
    resets = {
        name
        for name, node in graph.nodes.items()
        if isinstance(node, nir.Scale)
        and [compared.get(u) for u in graph.predecessors[name]] == targets[name]
        and _subtracts(graph, node, graph.predecessors[name][0], targets[name][0])
    }
    return Parts(variables, frozenset(resets))


def _last(into: dict[str, str], name: str) -> str:
    """Return the node at the end of a chain; in a ring of such nodes, one that all of them agree on."""
    seen = [name]
    while seen[-1] in into:
        if into[seen[-1]] in seen:
            return min(seen[seen.index(into[seen[-1]]) :])
        seen.append(into[seen[-1]])
    return seen[-1]


def _subtracts(graph: ChipGraph, scale: nir.Scale, threshold: str, membrane: str) -> bool:
    """Return whether the Scale takes exactly the threshold from the membrane, up to rounding."""
    taken = np.asarray(scale.scale, np.float64) * _gain(graph, membrane)
    return bool(np.allclose(taken, -np.asarray(graph.nodes[threshold].threshold, np.float64), rtol=1e-6, atol=0))


def _gain(graph: ChipGraph, name: str) -> NDArray[np.float64]:
    """Return by how much the membrane moves for an input of 1; NaN where a filter lies between."""
    node = graph.nodes[name]
    if isinstance(node, nir.LI):
        gain: NDArray[np.float64] = graph.dt_s / np.asarray(node.tau, np.float64) * np.asarray(node.r, np.float64)
        return gain
    return if_gain(name, node, graph.dt_s, graph.if_step) if isinstance(node, nir.I) else np.array(np.nan)
