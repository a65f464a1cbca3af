"""Networks whose neurons stand in the graph as several nodes: reset by subtraction, no reset, synaptic currents."""

from __future__ import annotations

import nir
import numpy as np
from deploy_nets import DT, affine, graph, rng, sink, source
from numpy.typing import ArrayLike, NDArray

from spikeport.export.graph import ChipGraph

Nodes = dict[str, nir.NIRNode]
Edges = list[tuple[str, str]]
Array = NDArray[np.float64]


def leaky(n: int, beta: ArrayLike) -> nir.NIRNode:
    """`v = beta v + x`."""
    keep = np.broadcast_to(np.asarray(beta, dtype=float), (n,))
    if np.all(keep == 1):
        return nir.I(r=np.ones(n))
    return nir.LI(tau=DT / (1 - keep), r=1 / (1 - keep), v_leak=np.zeros(n))


def soft(
    name: str, n: int, beta: ArrayLike, theta: ArrayLike, k: ArrayLike | None, alpha: ArrayLike | None = None
) -> tuple[Nodes, Edges, set[tuple[str, str]], str]:
    """Return the nodes, edges and registers of one layer, and the node that its input enters."""
    full = [np.broadcast_to(np.asarray(x, dtype=float), (n,)).copy() for x in (theta, 0.0 if k is None else k)]
    nodes: Nodes = {f"{name}_membrane": leaky(n, beta), name: nir.Threshold(full[0])}
    edges, registers = [(f"{name}_membrane", name)], set()
    if k is not None:
        nodes[f"{name}_reset"] = nir.Scale(-full[1])
        edges += [(name, f"{name}_reset"), (f"{name}_reset", f"{name}_membrane")]
        registers = {(name, f"{name}_reset")}
    if alpha is None:
        return nodes, edges, registers, f"{name}_membrane"
    nodes[f"{name}_current"] = leaky(n, alpha)
    return nodes, [*edges, (f"{name}_current", f"{name}_membrane")], registers, f"{name}_current"


def two_layers(
    beta: ArrayLike, theta: ArrayLike, k: ArrayLike | None, alpha: ArrayLike | None = None,
    recurrent: bool = False, read: bool = True, n: int = 12, seed: int = 0, bias: float = 0.2,
) -> ChipGraph:  # fmt: skip
    """Two such layers; the second's membrane is read beside its spikes."""
    nodes: Nodes = {"x": source(10), "wa": affine(10, n, seed, bias=bias), "wb": affine(n, n, seed + 1, bias=bias)}
    edges, registers = [("x", "wa"), ("a", "wb")], set()
    for name, before in (("a", "wa"), ("b", "wb")):
        more, inner, late, entry = soft(name, n, beta, theta, k, alpha)
        nodes |= more
        edges += [*inner, (before, entry)]
        registers |= late
        if recurrent:
            nodes[f"{name}_back"] = nir.Linear(rng(seed + 2).normal(size=(n, n)) / np.sqrt(n))
            edges += [(name, f"{name}_back"), (f"{name}_back", entry)]
            registers |= {(name, f"{name}_back")}
    nodes["out"] = sink(n)
    edges.append(("b", "out"))
    if read:
        nodes["v"] = sink(n)
        edges.append(("b_membrane", "v"))
    return graph(nodes, edges, registers=registers)
