"""What the synapses of one connection deliver for the events of a step, in the forms that `layout.py` stores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikeport.deploy.loihi.engine.compiled import inlined
from spikeport.deploy.loihi.engine.layout import (
    BLOCKS8,
    KIND,
    LANES,
    POINTERS,
    ROWS8,
    ROWS16,
    SHIFT,
    WEIGHTS,
    Tables,
)
from spikeport.deploy.loihi.engine.vector import add32, block_sum, mul32, row_sums, shift_signed32, shl32

EVENTS_AT_ONCE = 255
"""As many 8-bit weights always fit a 16-bit sum."""

add_rows_512, add_rows_128, add_rows_64 = row_sums(16), row_sums(4), row_sums(2)
add_block_8, add_block_16, add_block_32 = block_sum(8), block_sum(16), block_sum(32)


class Scratch(NamedTuple):
    """Room that one thread works in.

    Attributes:
        events: numbers of the source's neurons that sent something.
        values: what they sent, where it is not 1.
        narrow: 16-bit sums.
        wide: 32-bit sums.
        arriving: 32-bit sums over all connections.
    """

    events: Any
    values: Any
    narrow: Any
    wide: Any
    arriving: Any


@inlined
def deliver_spikes(t: Tables, c: int, n: int, room: Scratch, a: Any) -> None:
    """Add to `a` what connection `c` delivers for `n` spikes."""
    if t.connections[c, SHIFT] < 0 or (t.connections[c, KIND] != ROWS8 and t.connections[c, KIND] != BLOCKS8):
        room.values[:n] = np.int32(1)
        deliver_values(t, c, n, room, a)
        return
    sums = room.narrow[: a.size]
    for first in range(0, n, EVENTS_AT_ONCE):
        sums[:] = 0
        if t.connections[c, KIND] == ROWS8:
            add_rows(t, c, first, min(n, first + EVENTS_AT_ONCE), room.events, sums)
        else:
            add_blocks(t, c, first, min(n, first + EVENTS_AT_ONCE), room.events, sums)
        shift = np.int32(t.connections[c, SHIFT])
        for j in range(a.size):
            a[j] = add32(a[j], shl32(np.int32(sums[j]), shift))


@inlined
def deliver_values(t: Tables, c: int, n: int, room: Scratch, a: Any) -> None:
    """Add to `a` what connection `c` delivers for `n` events times their values; a right shift rounds down."""
    sums = room.wide[: a.size]
    sums[:] = 0
    if t.connections[c, KIND] == ROWS8:
        add_dense_values(t.weight8, t.connections[c, WEIGHTS], n, room, sums)
    elif t.connections[c, KIND] == ROWS16:
        add_dense_values(t.weight16, t.connections[c, WEIGHTS], n, room, sums)
    elif t.connections[c, KIND] == BLOCKS8:
        add_block_values(t, c, n, room, sums)
    else:
        add_list_values(t, c, n, room, sums)
    shift = np.int32(abs(t.connections[c, SHIFT]))
    if t.connections[c, SHIFT] >= 0:
        for j in range(a.size):
            a[j] = add32(a[j], shl32(sums[j], shift))
    else:
        for j in range(a.size):
            a[j] = add32(a[j], shift_signed32(sums[j], shift))


@inlined
def add_rows(t: Tables, c: int, first: int, last: int, events: Any, sums: Any) -> None:
    """Add the dense rows of some events to 16-bit sums."""
    j, width, base = 0, sums.size, t.connections[c, WEIGHTS]
    while j + 512 <= width:
        add_rows_512(sums, j, t.weight8, base + j, width, events, first, last)
        j += 512
    while j + 128 <= width:
        add_rows_128(sums, j, t.weight8, base + j, width, events, first, last)
        j += 128
    while j < width:
        add_rows_64(sums, j, t.weight8, base + j, width, events, first, last)
        j += 64


@inlined
def add_blocks(t: Tables, c: int, first: int, last: int, events: Any, sums: Any) -> None:
    """Add the blocks of some events to 16-bit sums."""
    at, base, lanes = t.connections[c, POINTERS], t.connections[c, WEIGHTS], t.connections[c, LANES]
    for i in range(first, last):
        row = at + events[i]
        for k in range(t.pointer[row], t.pointer[row + 1]):
            if lanes == 8:
                add_block_8(sums, t.target[k], t.weight8, base + 8 * k)
            elif lanes == 16:
                add_block_16(sums, t.target[k], t.weight8, base + 16 * k)
            else:
                add_block_32(sums, t.target[k], t.weight8, base + 32 * k)


@inlined
def add_dense_values(weights: Any, base: int, n: int, room: Scratch, sums: Any) -> None:
    """Add the dense rows of all events times their values to 32-bit sums."""
    width = sums.size
    for i in range(n):
        value, at = room.values[i], base + room.events[i] * width
        row = weights[at : at + width]
        for j in range(width):
            sums[j] = add32(sums[j], mul32(value, np.int32(row[j])))


@inlined
def add_block_values(t: Tables, c: int, n: int, room: Scratch, sums: Any) -> None:
    """Add the blocks of all events times their values to 32-bit sums."""
    at, base, lanes = t.connections[c, POINTERS], t.connections[c, WEIGHTS], t.connections[c, LANES]
    for i in range(n):
        row = at + room.events[i]
        for k in range(t.pointer[row], t.pointer[row + 1]):
            for j in range(lanes):
                to = t.target[k] + j
                sums[to] = add32(sums[to], mul32(room.values[i], np.int32(t.weight8[base + lanes * k + j])))


@inlined
def add_list_values(t: Tables, c: int, n: int, room: Scratch, sums: Any) -> None:
    """Add the listed synapses of all events times their values to 32-bit sums."""
    at, base = t.connections[c, POINTERS], t.connections[c, WEIGHTS]
    for i in range(n):
        row = at + room.events[i]
        for k in range(t.pointer[row], t.pointer[row + 1]):
            to = t.target[k]
            sums[to] = add32(sums[to], mul32(room.values[i], np.int32(t.weight16[base + k])))
