"""The counts of a chip stage apart by step and by sample, from a recording of any backend.

`count_stage` has their totals; here nothing is added up, so that a burst or an outlier can be seen.

Shape suffixes: T steps, B samples, N a node's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeport.benchmarks.counting.fanout import fan_out
from spikeport.benchmarks.counting.stage import arrivals, input_shape, known_values, lengths, weighted_nodes
from spikeport.export.graph import SPIKING, ChipGraph
from spikeport.export.recording import Recording

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class StageDetail:
    """What each node did in each step of each sample.

    Attributes:
        spikes_TB: of each spiking node, by name.
        ac_TB: accumulates of each weighted node, by values of exactly 1 and -1.
        mac_TB: multiply-accumulates of each weighted node, by all other non-zero values.
    """

    spikes_TB: Mapping[str, Counts]
    ac_TB: Mapping[str, Counts]
    mac_TB: Mapping[str, Counts]


def stage_detail(
    graph: ChipGraph,
    inputs_TBN: Mapping[str, ArrayLike],
    recording: Recording,
    nonzero_weights_only: bool = False,
) -> StageDetail:
    """Return the counts of `count_stage` by step and sample; the arguments and refusals are its own.

    Raises:
        UsageError: the recording lacks a neuron node, or its shapes are not the inputs'.
    """
    known = known_values(graph, inputs_TBN, recording)
    shape = lengths(known)
    nodes = weighted_nodes(graph)
    fans = {name: fan_out(graph.nodes[name], input_shape(graph, name), nonzero_weights_only) for name in nodes}
    ac, mac = ({name: np.zeros(shape, dtype=np.int64) for name in nodes} for _ in range(2))
    for t, name, unit_BN, graded_BN in arrivals(graph, known, nodes):
        ac[name][t] += _reached(unit_BN, fans[name])
        mac[name][t] += _reached(graded_BN, fans[name])
    spikes = {
        name: np.count_nonzero(known[name].reshape(*shape, -1), axis=2)
        for name in graph.neurons
        if isinstance(graph.nodes[name], SPIKING)
    }
    return StageDetail(spikes, ac, mac)


def _reached(events_BN: NDArray[np.bool_], fan_N: Counts) -> Counts:
    """Return how many outputs the events of each sample reach."""
    reached: Counts = np.where(events_BN, fan_N, 0).reshape(len(events_BN), -1).sum(axis=1)
    return reached
