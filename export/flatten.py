"""Nested NIR graphs become one flat graph with dotted names; inner inputs and outputs become wires."""

from __future__ import annotations

import nir

from spikeport.errors import UnfaithfulError

Edge = tuple[str, str]


def flatten(graph: nir.NIRGraph) -> tuple[dict[str, nir.NIRNode], list[Edge]]:
    """Return the nodes and edges of `graph` with every nested graph inlined."""
    nodes, edges = dict(graph.nodes), list(graph.edges)
    while nested := [name for name, node in nodes.items() if isinstance(node, nir.NIRGraph)]:
        nodes, edges = _inline(nested[0], nodes, edges)
    return nodes, edges


def _inline(name: str, nodes: dict[str, nir.NIRNode], edges: list[Edge]) -> tuple[dict[str, nir.NIRNode], list[Edge]]:
    inner: nir.NIRGraph = nodes[name]
    entries = [n for n, node in inner.nodes.items() if isinstance(node, nir.Input)]
    exits = [n for n, node in inner.nodes.items() if isinstance(node, nir.Output)]
    if len(entries) != 1 or len(exits) != 1:
        raise UnfaithfulError(
            f"subgraph '{name}'",
            f"it has {len(entries)} inputs and {len(exits)} outputs, and an edge cannot say which is meant",
            "Give it one of each",
        )
    if (entries[0], exits[0]) in inner.edges:
        raise UnfaithfulError(f"subgraph '{name}'", "it wires its input to its output", "Put a Scale of 1 between them")
    heads = [w for u, w in inner.edges if u == entries[0]]
    tails = [u for u, w in inner.edges if w == exits[0]]
    body = {f"{name}.{n}": node for n, node in inner.nodes.items() if n not in (entries[0], exits[0])}
    wires = [(f"{name}.{u}", f"{name}.{w}") for u, w in inner.edges if u != entries[0] and w != exits[0]]
    for source, target in edges:
        sources = [f"{name}.{t}" for t in tails] if source == name else [source]
        targets = [f"{name}.{h}" for h in heads] if target == name else [target]
        wires += [(u, w) for u in sources for w in targets]
    rest = {n: node for n, node in nodes.items() if n != name}
    if clash := sorted(rest.keys() & body.keys()):
        raise UnfaithfulError(f"node '{clash[0]}'", f"a node inside '{name}' gets the same name", "Rename one of them")
    return {**rest, **body}, wires
