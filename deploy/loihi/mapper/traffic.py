"""What recorded spikes do on a placement: messages between cores, the way they go, and the synapses that they reach.

A spike sends one message to every core that holds a target of it, its own among them. Distances are between tiles of
the mesh, along rows and columns; where the tiles lie is a model assumption (`Mesh`), and so is that a message takes
a shortest way. Everything is counted in the step in which it is sent.

Shapes: T steps, B samples, N elements of a source, C cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.placement import Ints, Placement
from spikeport.deploy.stage import ONE
from spikeport.errors import UsageError

Array = NDArray[np.generic]

KINDS = ("spikes", "synops", "within", "crossing", "injected", "between_chips", "hops_x", "hops_y")
"""Spikes (for inputs: non-zero values); synapses they reach; messages to the own core, to others, from outside the
chip; those of `crossing` that leave the chip, whose way is not counted; tiles passed along rows and columns."""

CORE_STEPS = 20_000_000
"""How many steps times cores are held at once."""


@dataclass(frozen=True)
class Traffic:
    """Events by source and kind, [T, B] each."""

    events: Mapping[str, Mapping[str, Ints]]

    def total(self, kind: str) -> int:
        """Return the sum over sources, steps and samples."""
        return sum(int(of[kind].sum()) for of in self.events.values())


def traffic(placement: Placement, spikes_TBN: Mapping[str, Array]) -> Traffic:
    """Count the events of recorded spikes.

    Args:
        placement: of the network that made them.
        spikes_TBN: [T, B, *shape] for every input and population, all of the same T and B.

    Raises:
        UsageError: one is missing, or of another shape.
    """
    known = checked(placement, spikes_TBN)
    return Traffic({name: _events(placement, name, x) for name, x in known.items()})


def checked(placement: Placement, spikes_TBN: Mapping[str, Array]) -> dict[str, Array]:
    """Return the spikes [T, B, N], with those of constants, which come in every step but the first."""
    if missing := sorted((set(placement.reach) | set(placement.core_of)) - set(spikes_TBN) - {ONE}):
        raise UsageError(
            f"spikes of '{missing[0]}'", "they are not in the records", "Record every input and population"
        )
    known = {name: np.asarray(x).reshape(*np.shape(x)[:2], -1) for name, x in spikes_TBN.items()}
    sizes = {name: len(cores) for name, cores in placement.core_of.items()}
    sizes |= {name: reach.shape[0] for name, reach in placement.reach.items()}
    steps, samples = next(iter(known.values())).shape[:2]
    for name, x in known.items():
        if x.shape != (wanted := (steps, samples, sizes.get(name, x.shape[2]))):
            raise UsageError(f"spikes of '{name}' of shape {x.shape}", f"expected {wanted}", "Align the records")
    if ONE in placement.reach:
        known[ONE] = np.ones((steps, samples, 1), np.uint8)
        known[ONE][0] = 0
    return known


def _events(placement: Placement, name: str, x_TBN: Array) -> dict[str, Ints]:
    steps, samples, size = x_TBN.shape
    each = per_spike(placement, name, size)
    rows, elements = np.nonzero(x_TBN.reshape(steps * samples, size))
    # Sums of whole numbers in float64, which holds them exactly up to 2^53.
    sums = {kind: np.bincount(rows, v[elements], minlength=steps * samples) for kind, v in each.items()}
    return {kind: v.astype(np.int64).reshape(steps, samples) for kind, v in sums.items()}


def per_spike(placement: Placement, name: str, size: int) -> dict[str, Ints]:
    """Return for each of `KINDS` what one spike of each element counts, [N]."""
    each = {kind: np.zeros(size, np.int64) for kind in KINDS}
    each["spikes"][:] = 1
    if name not in placement.reach:
        return each
    reach: csr_array = placement.reach[name]
    each["synops"] = np.asarray(reach.sum(axis=1), np.int64)
    messages = np.diff(reach.indptr)
    if name not in placement.core_of:
        each["injected"] = messages.astype(np.int64)
        return each
    elements = np.repeat(np.arange(size), messages)
    here, there = placement.core_of[name][elements], reach.indices
    chip_here, (x, y) = _located(here, placement.chip)
    chip_there, (x_there, y_there) = _located(there, placement.chip)
    same = chip_here == chip_there
    counted = {
        "within": here == there,
        "crossing": here != there,
        "between_chips": ~same,
        "hops_x": np.abs(x - x_there) * same,
        "hops_y": np.abs(y - y_there) * same,
    }
    return each | {k: np.bincount(elements, v, minlength=size).astype(np.int64) for k, v in counted.items()}


def _located(cores: Ints, chip: Chip) -> tuple[Ints, tuple[Ints, Ints]]:
    """Return the chip of each core, and its tile's column and row."""
    tile = cores % chip.cores // chip.mesh.cores_per_tile
    return cores // chip.cores, (tile // chip.mesh.rows, tile % chip.mesh.rows)


def core_synops(placement: Placement, spikes_TBN: Mapping[str, Array]) -> Iterator[Ints]:
    """Yield the synaptic operations that each core is sent, [T, some of B, C], block after block of samples."""
    known = checked(placement, spikes_TBN)
    steps, samples = next(iter(known.values())).shape[:2]
    block = max(1, CORE_STEPS // max(1, steps * placement.cores))
    for first in range(0, samples, block):
        some = {name: x[:, first : first + block] for name, x in known.items() if name in placement.reach}
        count = min(block, samples - first)
        total = np.zeros((steps * count, placement.cores), np.int64)
        for name, x in some.items():
            fired = csr_array(x.reshape(steps * count, -1) != 0).astype(np.int64)
            total += (fired @ placement.reach[name]).toarray()
        yield total.reshape(steps, count, placement.cores)
