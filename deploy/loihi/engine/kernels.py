"""The compiled run: the rules of `definition.py` on the arrays of `layout.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikeport.deploy.loihi.compiled import compiled, inlined
from spikeport.deploy.loihi.engine.delivery import Scratch, deliver_spikes, deliver_values
from spikeport.deploy.loihi.engine.events import spikes_of, values_of
from spikeport.deploy.loihi.engine.layout import (
    AT,
    CONSTANT,
    COUNT,
    FIRST,
    FROM_INPUT,
    KEEP_U,
    KEEP_V,
    LAG,
    LAST,
    ONSET,
    OWN,
    REFRACTORY,
    SOURCE,
    START,
    SUBTRACT,
    THRESHOLD,
    WIDTH,
    Tables,
)
from spikeport.deploy.loihi.engine.membrane import LANES, copy, lif, lif_extended


class Sent(NamedTuple):
    """The inputs, and the spikes as they come.

    T steps of input, R elements of an input row, S steps run, N neurons, in one dimension each.

    Attributes:
        x8: [T, samples, R] of 0 and 1; used unless `graded`.
        x32: [T, samples, R] of any whole numbers.
        graded: which of the two holds.
        timesteps, samples, row: their shape.
        offset: the sample of x that is the first of s.
        s: [B, S, N], what the neurons send.
        steps: S.
    """

    x8: Any
    x32: Any
    graded: bool
    timesteps: int
    samples: int
    row: int
    offset: int
    s: Any
    steps: int


class Kept(NamedTuple):
    """Where u and v are recorded, and what is counted.

    Attributes:
        u_slots, v_slots: [P], where a population's columns start, -1 for nowhere.
        u, v: [B, S, columns].
        wraps, clips: [P], how often u wrapped and v was held.
    """

    u_slots: Any
    v_slots: Any
    u: Any
    v: Any
    wraps: Any
    clips: Any


class States(NamedTuple):
    """The membranes of one sample, [N] each; `rest` counts the steps of the refractory time that are left."""

    u: Any
    v: Any
    rest: Any


@compiled
def run_samples(t: Tables, first: int, last: int, sent: Sent, kept: Kept, states: States, room: Scratch) -> bool:
    """Run samples first to last of s; return whether all of x8 was 0 and 1."""
    for b in range(first, last):
        for j in range(states.u.size):
            states.u[j], states.v[j], states.rest[j] = np.int32(0), np.int32(0), np.int32(0)
        for g in range(t.groups.size - 1):
            for step in range(sent.steps):
                for m in range(t.groups[g], t.groups[g + 1]):
                    p = t.order[m]
                    if step >= t.populations[p, ONSET]:
                        if not gather(t, p, b, step, sent, room):
                            return False
                        update(t, p, b, step, sent, states, room)
                        width, start = t.populations[p, WIDTH], t.populations[p, START]
                        keep(states.u, start, width, kept.u, b, step, kept.u_slots[p])
                        keep(states.v, start, width, kept.v, b, step, kept.v_slots[p])
        count(kept, room)
    return True


@inlined
def gather(t: Tables, p: int, b: int, step: int, sent: Sent, room: Scratch) -> bool:
    """Sum up what arrives at population `p`; return whether all of x8 was 0 and 1."""
    start, width = t.populations[p, START], t.populations[p, WIDTH]
    if step > 0 and t.populations[p, CONSTANT] != 0:
        copy(room.arriving, t.constant, start, width)
    else:
        for j in range(width):
            room.arriving[j] = np.int32(0)
    for c in range(t.populations[p, FIRST], t.populations[p, LAST]):
        then, elements = step - t.connections[c, LAG], t.connections[c, COUNT]
        if then < 0:
            continue
        if t.connections[c, SOURCE] == FROM_INPUT:
            if then >= sent.timesteps:
                continue
            at = (then * sent.samples + sent.offset + b) * sent.row + t.connections[c, AT]
            if sent.graded:
                n = values_of(sent.x32, at, elements, room.events, room.values)
                if n > 0:
                    deliver_values(t, c, n, width, room)
                continue
            n = spikes_of(sent.x8, at, elements, room.events)
            if n < 0:
                return False
        else:
            at = (b * sent.steps + then) * t.bias.size + t.connections[c, AT]
            n = spikes_of(sent.s, at, elements, room.events)
        if n > 0:
            deliver_spikes(t, c, n, width, room)
    return True


@inlined
def update(t: Tables, p: int, b: int, step: int, sent: Sent, states: States, room: Scratch) -> None:
    """Step the membranes of population `p` with what arrived."""
    start, width = t.populations[p, START], t.populations[p, WIDTH]
    place = 2 * LANES * p
    at = (b * sent.steps + step) * t.bias.size + start
    if t.populations[p, OWN] != 0:
        lif_extended(
            room.arriving, t.bias, states.u, states.v, states.rest, sent.s, room.counts,
            t.keep_u, t.keep_v, t.threshold, t.reset_by, start, at, width, place,
            np.int32(t.populations[p, SUBTRACT]), np.int32(t.populations[p, REFRACTORY]),
        )  # fmt: skip
    else:
        lif(
            room.arriving, t.bias, states.u, states.v, sent.s, room.counts, start, at, width, place,
            np.int32(t.populations[p, KEEP_U]), np.int32(t.populations[p, KEEP_V]),
            np.int32(t.populations[p, THRESHOLD]),
        )  # fmt: skip


@inlined
def count(kept: Kept, room: Scratch) -> None:
    """Move what a sample counted to the populations."""
    for p in range(kept.wraps.size):
        for j in range(2 * LANES * p, 2 * LANES * p + LANES):
            kept.wraps[p] += room.counts[j]
            kept.clips[p] += room.counts[j + LANES]
            room.counts[j], room.counts[j + LANES] = np.int32(0), np.int32(0)


@inlined
def keep(state: Any, start: int, width: int, rows: Any, b: int, step: int, slot: int) -> None:
    """Record a state from column `slot` on; -1 for not at all."""
    if slot >= 0:
        for j in range(width):
            rows[b, step, slot + j] = state[start + j]
