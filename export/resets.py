"""The same network with another reset: NIR writes resets to a value only, and some tools mean subtraction."""

from __future__ import annotations

import nir
import numpy as np

from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph, Edge
from spikeport.export.neurons import if_gain


def with_soft_reset(graph: ChipGraph) -> ChipGraph:
    """Return `graph` with every IF reset by subtraction: where it spikes, `v -= v_threshold`.

    A node `n` becomes the membrane `n.v` (I), the comparison `n` (Threshold), which keeps the name and so the spikes,
    and `n.reset` (Scale by -v_threshold / g), whose output arrives at `n.v` one step later: with no leak between, that
    is the subtraction itself. g is the gain of `v += g I`. `v_reset` no longer has a meaning and is dropped.

    Raises:
        UnfaithfulError: a spiking node leaks, so that a step passes between spike and subtraction; or no node is an IF.
    """
    cells = {name: node for name, node in graph.nodes.items() if isinstance(node, nir.IF)}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.LIF | nir.CubaLIF):
            reason = "it leaks, and a subtraction that arrives a step later is another neuron"
            raise UnfaithfulError(f"node '{name}' ({type(node).__name__})", reason, "Only IF can be rewritten")
    if not cells:
        raise UnfaithfulError("the graph", "it has no IF node whose reset could change", "Leave it as it is")
    nodes: dict[str, nir.NIRNode] = {n: node for n, node in graph.nodes.items() if n not in cells}
    for name, node in cells.items():
        parts = _parts(graph, name, node)
        if taken := sorted(parts.keys() & nodes.keys()):
            raise UnfaithfulError(f"node '{taken[0]}'", "the rewriting needs its name", "Rename it")
        nodes |= parts
    edges = [_moved(edge, cells) for edge in graph.edges]
    registers = {_moved(edge, cells) for edge in graph.registers}
    for name in cells:
        edges += [(f"{name}.v", name), (name, f"{name}.reset"), (f"{name}.reset", f"{name}.v")]
        registers.add((name, f"{name}.reset"))
    rewritten = nir.NIRGraph(nodes, edges, type_check=False)
    return ChipGraph.from_nir(rewritten, graph.dt_s, registers, graph.if_step)


def _parts(graph: ChipGraph, name: str, node: nir.IF) -> dict[str, nir.NIRNode]:
    theta = np.broadcast_to(np.asarray(node.v_threshold, np.float64), graph.shapes[name])
    gain = np.broadcast_to(if_gain(name, node, graph.dt_s, graph.if_step), graph.shapes[name])
    if np.any(gain == 0):
        raise UnfaithfulError(f"node '{name}'", "its r is 0 at an element", "Remove the element")
    return {f"{name}.v": nir.I(r=node.r), name: nir.Threshold(theta), f"{name}.reset": nir.Scale(-theta / gain)}


def _moved(edge: Edge, cells: dict[str, nir.IF]) -> Edge:
    """What arrived at the neuron arrives at its membrane."""
    source, target = edge
    return (source, f"{target}.v" if target in cells else target)
