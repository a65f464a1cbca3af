"""The compiled run: the rules of `definition.py` on the arrays of `layout.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikeport.deploy.loihi.engine.compiled import compiled, inlined
from spikeport.deploy.loihi.engine.delivery import Scratch, deliver_spikes, deliver_values
from spikeport.deploy.loihi.engine.events import spikes_of, values_of
from spikeport.deploy.loihi.engine.layout import (
    AT,
    FIRST,
    FROM_INPUT,
    KEEP_U,
    KEEP_V,
    LAG,
    LAST,
    ONSET,
    REFRACTORY,
    SOURCE,
    START,
    SUBTRACT,
    THRESHOLD,
    WIDTH,
    WORDS,
    Tables,
)
from spikeport.deploy.loihi.engine.membrane import lif, lif_extended


class Sent(NamedTuple):
    """The inputs, and the spikes as they come. T steps of input, B samples, S steps run, N neurons.

    Attributes:
        x8: [T, B, words], inputs of 0 and 1; used unless `graded`.
        x32: [T, B, elements], inputs of any whole number.
        graded: which of the two holds.
        s: [B, S, N], what the neurons send.
        words: the same memory, eight at a time.
    """

    x8: Any
    x32: Any
    graded: bool
    s: Any
    words: Any


class Kept(NamedTuple):
    """Where u and v are recorded, and what is counted.

    Attributes:
        u_slots, v_slots: [P], where a population's columns start, -1 for nowhere.
        u, v: [B, S, columns].
        wraps, clips: [P], how often u wrapped and v saturated.
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
    """Run samples first to last; return whether all of x8 was 0 and 1."""
    u, v, rest = states.u, states.v, states.rest
    for b in range(first, last):
        for j in range(u.size):
            u[j], v[j], rest[j] = np.int32(0), np.int32(0), np.int32(0)
        for g in range(t.groups.size - 1):
            for step in range(sent.s.shape[1]):
                for m in range(t.groups[g], t.groups[g + 1]):
                    p = t.order[m]
                    if step >= t.populations[p, ONSET]:
                        if not gather(t, p, b, step, sent, room):
                            return False
                        update(t, p, b, step, room, u, v, rest, sent.s, kept)
    return True


@inlined
def gather(t: Tables, p: int, b: int, step: int, sent: Sent, room: Scratch) -> bool:
    """Sum up what arrives at population `p`; return whether all of x8 was 0 and 1."""
    start, width = t.populations[p, START], t.populations[p, WIDTH]
    arriving = room.arriving[:width]
    for j in range(width):
        arriving[j] = t.constant[start + j] if step > 0 else np.int32(0)
    for c in range(t.populations[p, FIRST], t.populations[p, LAST]):
        then, at, words = step - t.connections[c, LAG], t.connections[c, AT], t.connections[c, WORDS]
        if then < 0:
            continue
        if t.connections[c, SOURCE] == FROM_INPUT:
            if then >= (sent.x32.shape[0] if sent.graded else sent.x8.shape[0]):
                continue
            if sent.graded:
                n = values_of(sent.x32[then, b, 8 * at : 8 * (at + words)], room.events, room.values)
                if n > 0:
                    deliver_values(t, c, n, room, arriving)
                continue
            n = spikes_of(sent.x8[then, b, at : at + words], room.events)
            if n < 0:
                return False
        else:
            n = spikes_of(sent.words[b, then, at : at + words], room.events)
        if n > 0:
            deliver_spikes(t, c, n, room, arriving)
    return True


@inlined
def update(t: Tables, p: int, b: int, step: int, room: Scratch, u: Any, v: Any, rest: Any, s: Any, kept: Kept) -> None:
    """Step the membranes of population `p` with what arrived."""
    start, end = t.populations[p, START], t.populations[p, START] + t.populations[p, WIDTH]
    arriving, sent = room.arriving[: t.populations[p, WIDTH]], s[b, step, start:end]
    bias, threshold = t.bias[start:end], np.int32(t.populations[p, THRESHOLD])
    keep_u, keep_v = np.int32(t.populations[p, KEEP_U]), np.int32(t.populations[p, KEEP_V])
    if t.populations[p, SUBTRACT] or t.populations[p, REFRACTORY] > 0:
        wraps, clips = lif_extended(
            arriving, u[start:end], v[start:end], bias, keep_u, keep_v, threshold, sent,
            t.populations[p, SUBTRACT], t.populations[p, REFRACTORY], rest[start:end],
        )  # fmt: skip
    else:
        wraps, clips = lif(arriving, u[start:end], v[start:end], bias, keep_u, keep_v, threshold, sent)
    kept.wraps[p] += wraps
    kept.clips[p] += clips
    keep(u[start:end], kept.u[b, step], kept.u_slots[p])
    keep(v[start:end], kept.v[b, step], kept.v_slots[p])


@inlined
def keep(state: Any, row: Any, slot: int) -> None:
    """Record a state from column `slot` on; -1 for not at all."""
    if slot >= 0:
        for j in range(state.size):
            row[slot + j] = state[j]
