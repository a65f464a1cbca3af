"""Cutting a population into runs of neurons that fit a core: each run is the longest that does.

One pass over the synapses, adding neuron after neuron to the open run and closing it where a limit would break.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.compiled import compiled, inlined
from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.lists import Fan

Ints = NDArray[np.int64]

ANY = 2**62
"""Stands for a limit that is not published."""

RESOURCES = ("compartments", "in_axons", "synapse_words")
"""What the neurons of a run add up to, in this order."""


@dataclass(frozen=True)
class Runs:
    """How a population is cut.

    Attributes:
        starts: the first neuron of each run.
        size: of the population.
        used: [runs, `RESOURCES`].
        stuck: the neuron that fits no core, or -1.
        breaks: the index in `RESOURCES` of the limit that it breaks.
        needed: how much it needs.
    """

    starts: Ints
    size: int
    used: Ints
    stuck: int
    breaks: int
    needed: int

    @property
    def neurons(self) -> Ints:
        """How many each run holds."""
        return np.diff(self.starts, append=self.size)


def cut(fan: Fan, forced: NDArray[np.bool_], chip: Chip) -> Runs:
    """Return the longest runs; a neuron in `forced` starts one."""
    limits = np.array([chip_limit(chip, name) for name in RESOURCES], np.int64)
    memory = chip.memory
    rule = np.array([memory.synapses_per_block or ANY, memory.header_bits, memory.word_bits], np.int64)
    starts = np.zeros(fan.size, np.int64)
    used = np.zeros((fan.size, len(RESOURCES)), np.int64)
    counts = np.zeros((2, len(fan.bits)), np.int64)
    seen = np.full(fan.axons, -1, np.int64)
    runs, stuck, breaks, needed = _cut(
        fan.compartments, fan.indptr, fan.lists, fan.bits, fan.axon, forced, limits, rule, starts, used, counts, seen
    )
    return Runs(starts[:runs], fan.size, used[:runs], stuck, breaks, needed)


def chip_limit(chip: Chip, name: str) -> int:
    """Return a limit, `ANY` where none is published."""
    value: int | None = getattr(chip.limits, name).value
    return ANY if value is None else value


@inlined
def _words(synapses: Any, bits: Any, rule: Any) -> Any:
    """Return the words of a list, as `Memory.words` does."""
    block, header, word = rule[0], rule[1], rule[2]
    full = synapses // block
    rest = synapses - full * block
    total = np.int64(0)
    if full > 0:
        total += full * ((block * bits + header + word - 1) // word)
    if rest > 0:
        total += (rest * bits + header + word - 1) // word
    return total


@compiled
def _cut(
    compartments: Any,
    indptr: Any,
    lists: Any,
    bits: Any,
    axon: Any,
    forced: Any,
    limits: Any,
    rule: Any,
    starts: Any,
    used: Any,
    counts: Any,
    seen: Any,
) -> tuple[int, int, int, int]:
    """Write `starts` and `used`; return how many runs, the neuron that fits none, what it breaks, what it needs.

    `counts[0]` holds the synapses of each list in run `counts[1]` (plus 1); `seen` the last run that an axon reached.
    """
    run = -1
    for n in range(indptr.size - 1):
        fresh = run < 0 or forced[n]
        while True:
            if fresh:
                run += 1
                starts[run] = n
                used[run] = 0
            axons, words = np.int64(0), np.int64(0)
            for e in range(indptr[n], indptr[n + 1]):
                k = lists[e]
                had = counts[0, k] if counts[1, k] == run + 1 else np.int64(0)
                words += _words(had + 1, bits[k], rule) - _words(had, bits[k], rule)
                if seen[axon[k]] != run:
                    # Marked while looking: two lists of one axon count once.
                    seen[axon[k]] = run
                    axons += 1
            added = (np.int64(compartments), axons, words)
            breaks = -1
            for r in range(3):
                if used[run, r] + added[r] > limits[r]:
                    breaks = r
                    break
            if breaks < 0:
                break
            if used[run, 0] == 0:
                return run, n, breaks, int(added[breaks])
            fresh = True
        for r in range(3):
            used[run, r] += added[r]
        for e in range(indptr[n], indptr[n + 1]):
            k = lists[e]
            counts[0, k] = (counts[0, k] if counts[1, k] == run + 1 else 0) + 1
            counts[1, k] = run + 1
    return run + 1, -1, -1, 0


@compiled
def starts_by_sum(values: Any, forced: Any, limit: Any, starts: Any) -> int:
    """Mark in `starts` where runs whose values add up to at most `limit` begin; return the first value beyond it or -1.

    A neuron in `forced` starts a run.
    """
    total = np.int64(0)
    for n in range(values.size):
        if values[n] > limit:
            return n
        if forced[n] or total + values[n] > limit:
            starts[n] = True
            total = np.int64(0)
        total += values[n]
    return -1
