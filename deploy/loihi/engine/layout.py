"""An integer network as the flat arrays that the compiled kernels walk through.

Every population gets a stretch of one long row of neurons, padded to whole vectors. Neurons of a feature map
(channels, height, width) stand with their channels side by side, so that what a spike of a convolution changes is
a few short runs of neighbours. Synapses are stored by source neuron, in one of four forms, whichever is
smallest to walk: dense rows of 8- or 16-bit weights, blocks of 8 to 32 neighbours, or a list of targets.
8-bit weights are halves of Loihi's even ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.engine.network import IntegerNetwork, Parameter, Population, Synapses

Array = NDArray[Any]

CHANNEL_PADDING = 8
PADDING = 64
ROWS8, BLOCKS8, ROWS16, LIST16 = range(4)
FROM_SPIKES, FROM_INPUT = range(2)
EACH = ("keep_u", "keep_v", "threshold", "reset_by")
"""The tables of parameters, one number a neuron."""
DENSE_FROM = 0.3
"""The share of stored weights from which a whole row costs less than a list."""
BLOCKS_FROM = 0.25
CHANNELS_FROM = 4


# Columns of `Tables.populations`; the threshold is in the unit of v, the decays of 4096, and all three are those of the
# first neuron: where OWN is set, the neurons' own stand in the tables.
START, WIDTH, KEEP_U, KEEP_V, THRESHOLD, ONSET, OWN, SUBTRACT, REFRACTORY, CONSTANT, FIRST, LAST = range(12)
# Columns of `Tables.connections`: the source's kind, its first element and how many; the connection's first entry
# in `pointer` and in its weights; `LANES` of a block.
KIND, SOURCE, AT, COUNT, LAG, SHIFT, LANES, POINTERS, WEIGHTS = range(9)


class Tables(NamedTuple):
    """What the kernels read. P populations, C connections, N neurons with padding.

    Attributes:
        groups: [G + 1], where each group of `order` starts: a group runs step by step, and a population that is alone
            in its own runs all steps at once.
        order: [P], populations so that sources come first, but for loops.
        populations: [P, 12], by the columns above; their connections are FIRST to LAST.
        connections: [C, 9], by the columns above.
        bias, constant: [N].
        keep_u, keep_v, threshold, reset_by: [N], in the units of `populations`; what a reset takes off is in that of v.
        pointer: for each source neuron of a connection, its first entry; dense rows have none.
        target: of each entry: a neuron, or the first of a block, within the population.
        weight8, weight16: weights.
    """

    groups: Array
    order: Array
    populations: Array
    connections: Array
    bias: Array
    constant: Array
    keep_u: Array
    keep_v: Array
    threshold: Array
    reset_by: Array
    pointer: Array
    target: Array
    weight8: Array
    weight16: Array


@dataclass(frozen=True)
class Place:
    """Where a population's neurons stand.

    Attributes:
        start: in the row of neurons.
        width: with padding.
        channels: padded channels of a feature map, 0 where neurons stand in their own order.
    """

    start: int
    width: int
    channels: int

    def order(self, population: Population) -> NDArray[np.int64]:
        """Return the place of each neuron within the population."""
        if not self.channels:
            return np.arange(population.size)
        c, h, w = population.shape
        pixels = np.arange(h * w) * self.channels
        return np.asarray((np.arange(c)[:, None] + pixels[None, :]).ravel())

    def read(self, rows_BSN: Array, first: int, population: Population) -> Array:
        """Return [steps, B, *shape] of the columns from `first` on, without copying."""
        samples, steps = rows_BSN.shape[:2]
        if not self.channels:
            columns = rows_BSN[..., first : first + population.size].transpose(1, 0, 2)
            return columns if len(population.shape) == 1 else columns.reshape(steps, samples, *population.shape)
        c, h, w = population.shape
        maps = rows_BSN[..., first : first + h * w * self.channels].reshape(samples, steps, h, w, self.channels)
        return maps[..., :c].transpose(1, 0, 4, 2, 3)


@dataclass(frozen=True)
class Layout:
    """A compiled network.

    Attributes:
        network: what it computes.
        tables: for the kernels.
        places: of every population.
        inputs: the first element of each input in a row of inputs.
        input_width: elements of such a row.
        neurons: N, padding included.
    """

    network: IntegerNetwork
    tables: Tables
    places: Mapping[str, Place]
    inputs: Mapping[str, int]
    input_width: int
    neurons: int


def lay_out(network: IntegerNetwork) -> Layout:
    """Return the compiled form of `network`."""
    places = _places(network)
    inputs, input_width = _input_places(network)
    populations = network.populations
    names = [p.name for p in populations]
    by_target = {name: [s for s in network.synapses if s.target == name] for name in names}
    stored = _Stored()
    for population in populations:
        for synapses in by_target[population.name]:
            stored.add(*_connection(synapses, population, network, places, inputs))
    neurons = sum(place.width for place in places.values())
    members = groups(network)
    each = {name: np.zeros(neurons, np.int32) for name in ("bias", "constant", *EACH)}
    for population in populations:
        place = places[population.name]
        at = place.start + place.order(population)
        each["bias"][at] = population.bias
        if population.constant is not None:
            each["constant"][at] = population.constant
        for name, values in _parameters(population).items():
            each[name][at] = values
    rows, last = [], 0
    for population in populations:
        first, last = last, last + len(by_target[population.name])
        rows.append(_numbers(population, places[population.name], first, last))
    tables = Tables(
        np.cumsum([0, *map(len, members)]),
        np.array([i for group in members for i in group], dtype=np.int64),
        np.array(rows, dtype=np.int64),
        **each,
        **stored.arrays(),
    )
    return Layout(network, tables, places, inputs, input_width, neurons)


def _parameters(population: Population) -> dict[str, Parameter]:
    """Return what the tables hold for every neuron, in the kernels' units."""
    keep_u, keep_v = limits.DECAY_ONE - population.du - 1, limits.DECAY_ONE - population.dv
    return dict(zip(EACH, (keep_u, keep_v, population.vth_mant * limits.ALIGN, population.reset_by), strict=True))


def _numbers(population: Population, place: Place, first: int, last: int) -> list[int]:
    """Return a population's row of the table."""
    shared = {name: np.ravel(values)[0] for name, values in _parameters(population).items()}
    subtracts = population.reset == "subtract"
    values = {
        START: place.start,
        WIDTH: place.width,
        KEEP_U: shared["keep_u"],
        KEEP_V: shared["keep_v"],
        THRESHOLD: shared["threshold"],
        ONSET: population.onset,
        OWN: subtracts or population.refractory > 0 or bool(population.unlike),
        SUBTRACT: subtracts,
        REFRACTORY: population.refractory,
        CONSTANT: population.constant is not None,
        FIRST: first,
        LAST: last,
    }
    return [int(values[column]) for column in range(len(values))]


def _places(network: IntegerNetwork) -> dict[str, Place]:
    places, start = {}, 0
    for population in network.populations:
        shape, channels, size = population.shape, 0, population.size
        if len(shape) == 3 and shape[0] >= CHANNELS_FROM and size > shape[0]:
            channels = _up(shape[0], CHANNEL_PADDING)
            size = channels * shape[1] * shape[2]
        width = _up(size, PADDING)
        places[population.name] = Place(start, width, channels)
        start += width
    return places


def _input_places(network: IntegerNetwork) -> tuple[dict[str, int], int]:
    places, at = {}, 0
    for name in network.inputs:
        places[name] = at
        at += network.sizes[name]
    return places, at


def _up(n: int, to: int) -> int:
    return -(-n // to) * to


def groups(network: IntegerNetwork) -> list[list[int]]:
    """Return the numbers of the populations in strongly connected groups, sources first."""
    index = {p.name: i for i, p in enumerate(network.populations)}
    edges = [(index[s.source], index[s.target]) for s in network.synapses if s.source in index]
    rows, columns = ([edge[k] for edge in edges] for k in (0, 1))
    graph = csr_array((np.ones(len(edges)), (rows, columns)), shape=(len(index), len(index)))
    count, label = connected_components(graph, connection="strong")
    needs = TopologicalSorter({g: set[int]() for g in range(count)})
    for source, target in edges:
        if label[source] != label[target]:
            needs.add(int(label[target]), int(label[source]))
    return [[i for i in index.values() if label[i] == g] for g in needs.static_order()]


class _Stored:
    """Connections on their way into the flat arrays."""

    def __init__(self) -> None:
        self.rows: list[dict[int, int]] = []
        self.parts: dict[str, list[Array]] = {"pointer": [], "target": [], "weight8": [], "weight16": []}
        self.lengths = dict.fromkeys(self.parts, 0)

    def add(self, row: dict[int, int], parts: dict[str, Array]) -> None:
        kept = "weight8" if row[KIND] in (ROWS8, BLOCKS8) else "weight16"
        starts = {POINTERS: self.lengths["pointer"], WEIGHTS: self.lengths[kept]}
        if "pointer" in parts:
            entries = self.lengths["target"]
            parts = {**parts, "pointer": parts["pointer"].astype(np.int64) + entries}
            # An entry's weights stand as far into the connection's weights as its target into its targets.
            starts[WEIGHTS] -= entries * max(1, row[LANES])
        self.rows.append(row | starts)
        for name, part in parts.items():
            self.parts[name].append(part)
            self.lengths[name] += len(part)

    def arrays(self) -> dict[str, Array]:
        kinds = {"pointer": np.int64, "target": np.int32, "weight8": np.int8, "weight16": np.int16}
        table = [[row[column] for column in range(9)] for row in self.rows]
        connections = np.array(table, dtype=np.int64).reshape(len(table), 9)
        joined = {n: np.concatenate([np.zeros(0, kind), *self.parts[n]]) for n, kind in kinds.items()}
        return {"connections": connections} | {n: x.astype(kinds[n], copy=False) for n, x in joined.items()}


def _connection(
    synapses: Synapses,
    target: Population,
    network: IntegerNetwork,
    places: Mapping[str, Place],
    inputs: Mapping[str, int],
) -> tuple[dict[int, int], dict[str, Array]]:
    """Return a connection's row of the table, and its part of the flat arrays."""
    place = places[target.name]
    spiking = synapses.source in places
    if spiking:
        source = places[synapses.source]
        population = next(p for p in network.populations if p.name == synapses.source)
        at, width, from_order = source.start, source.width, source.order(population)
    else:
        at, width = inputs[synapses.source], network.sizes[synapses.source]
        from_order = np.arange(width)
    by_source = _by_source(synapses.weight, from_order, width, place.order(target))
    halves = bool(np.all(by_source.data % 2 == 0)) and int(np.max(by_source.data, initial=0)) <= 254
    kind, lanes, parts = _stored_form(by_source, place, target.size, halves)
    row = {
        KIND: kind,
        SOURCE: FROM_SPIKES if spiking else FROM_INPUT,
        AT: at,
        COUNT: width,
        LAG: synapses.wait + 1,
        SHIFT: synapses.weight_exp + (kind in (ROWS8, BLOCKS8)),
        LANES: lanes,
    }
    return row, parts


def _by_source(weight: csr_array, from_order: Array, width: int, to_order: Array) -> csr_array:
    """Return [source width, target places] with rows and columns where the neurons stand, sorted."""
    columns = weight.astype(np.int16).tocsc()
    columns.eliminate_zeros()
    targets = to_order[columns.indices]
    source_sizes = np.zeros(width, dtype=np.int64)
    source_sizes[from_order] = np.diff(columns.indptr)
    if np.any(np.diff(from_order) < 0):
        # Whole rows move: an entry goes as far into its new row as it was in its old one.
        starts = np.concatenate([[0], np.cumsum(source_sizes)[:-1]])[from_order]
        moved_to = np.repeat(starts - columns.indptr[:-1], np.diff(columns.indptr)) + np.arange(columns.nnz)
        data, indices = np.empty_like(columns.data), np.empty_like(targets)
        data[moved_to], indices[moved_to] = columns.data, targets
    else:
        data, indices = columns.data, targets
    pointer = np.concatenate([[0], np.cumsum(source_sizes)])
    moved = csr_array((data, indices, pointer), shape=(width, int(to_order.max(initial=0)) + 1))
    moved.sort_indices()
    return moved


def _stored_form(weight: csr_array, place: Place, size: int, halves: bool) -> tuple[int, int, dict[str, Array]]:
    sources = max(1, int(np.count_nonzero(np.diff(weight.indptr))))
    if weight.nnz >= DENSE_FROM * sources * size:
        rows = np.zeros((weight.shape[0], place.width), dtype=np.int8 if halves else np.int16)
        entries = weight.tocoo()
        rows[entries.coords] = entries.data // 2 if halves else entries.data
        name = "weight8" if halves else "weight16"
        return ROWS8 if halves else ROWS16, 0, {name: rows.ravel()}
    if halves and place.channels:
        lanes = next(n for n in (32, 16, 8) if place.channels % n == 0)
        blocks = _blocks(weight, lanes)
        if weight.nnz >= BLOCKS_FROM * blocks["weight8"].size:
            return BLOCKS8, lanes, blocks
    parts = {"pointer": weight.indptr, "target": weight.indices.astype(np.int32), "weight16": weight.data}
    return LIST16, 0, parts


def _blocks(weight: csr_array, lanes: int) -> dict[str, Array]:
    """Return the weights in blocks of `lanes` neighbouring targets, those that are not there being 0."""
    source = np.repeat(np.arange(weight.shape[0]), np.diff(weight.indptr))
    per_row = -(-weight.shape[1] // lanes)
    keys, entry = np.unique(source.astype(np.int64) * per_row + weight.indices // lanes, return_inverse=True)
    values = np.zeros((len(keys), lanes), dtype=np.int8)
    values[entry, weight.indices % lanes] = weight.data // 2
    pointer = np.searchsorted(keys // per_row, np.arange(weight.shape[0] + 1))
    return {"pointer": pointer, "target": (keys % per_row * lanes).astype(np.int32), "weight8": values.ravel()}
