"""Several networks as one, so that a backend that is slow to start runs them all at once."""

from __future__ import annotations

from collections.abc import Mapping

import nir

from spikeport.export.graph import ChipGraph


def side_by_side(graphs: Mapping[str, ChipGraph]) -> ChipGraph:
    """Return the networks in one graph; `name.node` is a node of the network `name`."""
    nodes = {f"{name}.{n}": node for name, one in graphs.items() for n, node in one.nodes.items()}
    edges = [(f"{name}.{u}", f"{name}.{w}") for name, one in graphs.items() for u, w in one.edges]
    late = [(f"{name}.{u}", f"{name}.{w}") for name, one in graphs.items() for u, w in one.registers]
    (dt_s,) = {one.dt_s for one in graphs.values()}
    return ChipGraph.from_nir(nir.NIRGraph(nodes, edges, type_check=False), dt_s, late)
