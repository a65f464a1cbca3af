"""Synapses as a chip stores them: for every source neuron that reaches a core, lists of synapses.

A *list* is what one source neuron has on one core through one connection; an *axon* is the source neuron itself,
whose lists on a core share one entry. Both are numbered over all that feeds a population.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from spikeport.deploy.loihi.engine import IntegerNetwork
from spikeport.deploy.loihi.mapper.chip import Memory
from spikeport.deploy.stage import ONE

Ints = NDArray[np.int64]

CONSTANT_BITS = 8
"""A constant input is taken as one 8-bit synapse from a source that always spikes."""


@dataclass(frozen=True)
class Connection:
    """Synapses from one source to one population.

    Attributes:
        source: an input, a population, or `ONE` for a population's constant.
        target: a population.
        weight: [target N, source N], sorted and without duplicates.
        exponent: of all weights.
        wait: extra steps.
        weight_bits: that the widest of them needs, sign included.
    """

    source: str
    target: str
    weight: csr_array
    exponent: int
    wait: int
    weight_bits: int

    def synapse_bits(self, memory: Memory) -> int:
        """Return the bits of one synapse: weight, delay and index."""
        width = next((w for w in memory.weight_widths if w >= self.weight_bits), self.weight_bits)
        return width + self.wait.bit_length() + memory.index_bits

    def weight_format(self, memory: Memory) -> tuple[int, int, int]:
        """Return what tells its synapses' format from another's."""
        return self.synapse_bits(memory), self.exponent, self.wait


@dataclass(frozen=True)
class Fan:
    """All that feeds one population, as one sparse matrix [N, lists].

    Attributes:
        indptr: of the matrix.
        lists: the columns of its entries.
        bits: of a synapse, by list.
        axon: of each list.
        axons: how many there are.
        sources: the first axon of each source.
        formats: distinct ones.
        compartments: of one neuron.
        settings: the number of each neuron's setting, [N]; see `settings.py`.
    """

    indptr: Ints
    lists: NDArray[np.int32]
    bits: NDArray[np.int32]
    axon: NDArray[np.int32]
    axons: int
    sources: Mapping[str, int]
    formats: int
    compartments: int = 1
    settings: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def size(self) -> int:
        """N."""
        return len(self.indptr) - 1


def connections_of(network: IntegerNetwork) -> list[Connection]:
    """Return every connection, constants among them."""
    found = []
    for s in network.synapses:
        weight = csr_array(s.weight, copy=True)
        weight.sum_duplicates()
        found.append(Connection(s.source, s.target, weight, s.weight_exp, s.wait, weight_bits(weight.data)))
    for population in network.populations:
        if population.constant is not None and np.any(population.constant):
            column = csr_array(population.constant[:, None])
            found.append(Connection(ONE, population.name, column, 0, 0, CONSTANT_BITS))
    return found


def weight_bits(weights: NDArray[np.signedinteger]) -> int:
    """Return the bits that the widest weight needs: two's complement where signs are mixed, without common zeros."""
    low, high = int(np.min(weights, initial=0)), int(np.max(weights, initial=0))
    if low == high == 0:
        return 1
    used = int(np.bitwise_or.reduce(np.abs(weights)))
    shift = (used & -used).bit_length() - 1
    if low < 0 < high:
        return max(high.bit_length(), (-low - 1).bit_length()) + 1 - shift
    return max(high, -low).bit_length() - shift


def sizes_of(network: IntegerNetwork) -> dict[str, int]:
    """Return the number of elements of every source."""
    return network.sizes | {ONE: 1}


def fan_of(name: str, size: int, connections: list[Connection], sizes: Mapping[str, int], memory: Memory) -> Fan:
    """Return what feeds population `name` of `size` neurons."""
    into = [c for c in connections if c.target == name]
    sources: dict[str, int] = {}
    axons = 0
    for c in into:
        if c.source not in sources:
            sources[c.source] = axons
            axons += sizes[c.source]
    formats = len({c.weight_format(memory) for c in into})
    if not into:
        empty = np.zeros(0, np.int32)
        return Fan(np.zeros(size + 1, np.int64), empty, empty, empty, 0, {}, 0)
    joined = into[0].weight if len(into) == 1 else hstack([c.weight for c in into], format="csr")
    return Fan(
        joined.indptr.astype(np.int64),
        joined.indices.astype(np.int32),
        np.concatenate([np.full(sizes[c.source], c.synapse_bits(memory), np.int32) for c in into]),
        np.concatenate([sources[c.source] + np.arange(sizes[c.source], dtype=np.int32) for c in into]),
        axons,
        sources,
        formats,
    )
