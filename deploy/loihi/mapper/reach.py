"""How many synapses every source element has on every core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from spikeport.deploy.loihi.compiled import compiled
from spikeport.deploy.loihi.mapper.lists import Connection

Ints = NDArray[np.int64]
Reach = dict[str, csr_array]
"""By source: [N, cores or runs], the number of synapses."""


def reach_of(connections: Sequence[Connection], starts: Mapping[str, Ints]) -> Reach:
    """Return the reach over runs, numbered over all populations.

    Args:
        connections: of the network.
        starts: the first neuron of each run, by population.
    """
    total = sum(len(s) for s in starts.values())
    first, at = {}, 0
    for name, s in starts.items():
        first[name] = at
        at += len(s)
    found: Reach = {}
    for c in connections:
        here = _reach(c.weight, starts[c.target], first[c.target], total)
        found[c.source] = found[c.source] + here if c.source in found else here
    return found


def over_cores(reach: Reach, core_of_run: Ints, cores: int) -> Reach:
    """Return the reach over cores, given each run's."""
    runs = np.arange(len(core_of_run))
    merge = csr_array((np.ones(len(runs), np.int32), (runs, core_of_run)), shape=(len(runs), cores))
    return {source: csr_array(over_runs @ merge) for source, over_runs in reach.items()}


def _reach(weight: csr_array, starts: Ints, first: int, total: int) -> csr_array:
    bounds = weight.indptr[np.append(starts, weight.shape[0])].astype(np.int64)
    seen = np.full(weight.shape[1], -1, np.int64)
    pairs = np.zeros(len(starts) + 1, np.int64)
    _count_pairs(weight.indices, bounds, seen, pairs)
    np.cumsum(pairs, out=pairs)
    elements, counts = np.zeros(pairs[-1], np.int32), np.zeros(pairs[-1], np.int32)
    seen[:] = -1
    _fill_pairs(weight.indices, bounds, seen, pairs, elements, counts)
    indptr = np.concatenate([np.zeros(first, np.int64), pairs, np.full(total - first - len(starts), pairs[-1])])
    return csr_array(csc_array((counts, elements, indptr), shape=(weight.shape[1], total)))


@compiled
def _count_pairs(indices: Any, bounds: Any, seen: Any, pairs: Any) -> None:
    """Write to `pairs[1:]` how many distinct elements reach each run."""
    for run in range(bounds.size - 1):
        for e in range(bounds[run], bounds[run + 1]):
            if seen[indices[e]] != run:
                seen[indices[e]] = run
                pairs[run + 1] += 1


@compiled
def _fill_pairs(indices: Any, bounds: Any, seen: Any, pairs: Any, elements: Any, counts: Any) -> None:
    """Write the elements and how many synapses each has; `seen` becomes where an element stands, if in this run."""
    for run in range(bounds.size - 1):
        at = pairs[run]
        for e in range(bounds[run], bounds[run + 1]):
            place = seen[indices[e]]
            if place < pairs[run]:
                place = at
                seen[indices[e]] = at
                elements[at] = indices[e]
                at += 1
            counts[place] += 1
