"""What the synapses of one connection deliver for the events of a step, in the forms that `layout.py` stores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikeport.deploy.loihi.compiled import inlined
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
from spikeport.deploy.loihi.engine.sums import block_sum, plus_product, plus_shifted, row_sums

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
        counts: how often u wrapped and v was held, for each population in 16 parts each.
    """

    events: Any
    values: Any
    narrow: Any
    wide: Any
    arriving: Any
    counts: Any


@inlined
def deliver_spikes(t: Tables, c: int, n: int, width: int, room: Scratch) -> None:
    """Add what connection `c` delivers for `n` spikes to what arrives."""
    kind, shift = t.connections[c, KIND], t.connections[c, SHIFT]
    if shift < 0 or (kind != ROWS8 and kind != BLOCKS8):
        for i in range(n):
            room.values[i] = np.int32(1)
        deliver_values(t, c, n, width, room)
        return
    for first in range(0, n, EVENTS_AT_ONCE):
        last = min(n, first + EVENTS_AT_ONCE)
        if kind == ROWS8:
            add_rows(t, c, first, last, width, room)
            continue
        for j in range(width):
            room.narrow[j] = np.int16(0)
        add_blocks(t, c, first, last, room)
        for j in range(width):
            room.arriving[j] = plus_shifted(room.arriving[j], np.int32(room.narrow[j]), np.int32(shift))


@inlined
def deliver_values(t: Tables, c: int, n: int, width: int, room: Scratch) -> None:
    """Add what connection `c` delivers for `n` events times their values to what arrives."""
    kind = t.connections[c, KIND]
    for j in range(width):
        room.wide[j] = np.int32(0)
    if kind == ROWS8:
        add_dense_values(t.weight8, t.connections[c, WEIGHTS], n, width, room)
    elif kind == ROWS16:
        add_dense_values(t.weight16, t.connections[c, WEIGHTS], n, width, room)
    elif kind == BLOCKS8:
        add_block_values(t, c, n, room)
    else:
        add_list_values(t, c, n, room)
    for j in range(width):
        room.arriving[j] = plus_shifted(room.arriving[j], room.wide[j], np.int32(t.connections[c, SHIFT]))


@inlined
def add_rows(t: Tables, c: int, first: int, last: int, width: int, room: Scratch) -> None:
    """Add the dense rows of some events to what arrives."""
    j, base, shift = 0, t.connections[c, WEIGHTS], np.int32(t.connections[c, SHIFT])
    while j + 512 <= width:
        add_rows_512(room.arriving, t.weight8, room.events, j, base + j, width, first, last, shift)
        j += 512
    while j + 128 <= width:
        add_rows_128(room.arriving, t.weight8, room.events, j, base + j, width, first, last, shift)
        j += 128
    while j < width:
        add_rows_64(room.arriving, t.weight8, room.events, j, base + j, width, first, last, shift)
        j += 64


@inlined
def add_blocks(t: Tables, c: int, first: int, last: int, room: Scratch) -> None:
    """Add the blocks of some events to 16-bit sums."""
    at, base, lanes = t.connections[c, POINTERS], t.connections[c, WEIGHTS], t.connections[c, LANES]
    for i in range(first, last):
        row = at + room.events[i]
        for k in range(t.pointer[row], t.pointer[row + 1]):
            if lanes == 8:
                add_block_8(room.narrow, t.weight8, t.target[k], base + 8 * k)
            elif lanes == 16:
                add_block_16(room.narrow, t.weight8, t.target[k], base + 16 * k)
            else:
                add_block_32(room.narrow, t.weight8, t.target[k], base + 32 * k)


@inlined
def add_dense_values(weights: Any, base: int, n: int, width: int, room: Scratch) -> None:
    """Add the dense rows of all events times their values to 32-bit sums."""
    for i in range(n):
        value, at = room.values[i], base + room.events[i] * width
        row = weights[at : at + width]
        for j in range(width):
            room.wide[j] = plus_product(room.wide[j], np.int32(row[j]), value)


@inlined
def add_block_values(t: Tables, c: int, n: int, room: Scratch) -> None:
    """Add the blocks of all events times their values to 32-bit sums."""
    at, base, lanes = t.connections[c, POINTERS], t.connections[c, WEIGHTS], t.connections[c, LANES]
    for i in range(n):
        row, value = at + room.events[i], room.values[i]
        for k in range(t.pointer[row], t.pointer[row + 1]):
            for j in range(lanes):
                to = t.target[k] + j
                room.wide[to] = plus_product(room.wide[to], np.int32(t.weight8[base + lanes * k + j]), value)


@inlined
def add_list_values(t: Tables, c: int, n: int, room: Scratch) -> None:
    """Add the listed synapses of all events times their values to 32-bit sums."""
    at, base = t.connections[c, POINTERS], t.connections[c, WEIGHTS]
    for i in range(n):
        row, value = at + room.events[i], room.values[i]
        for k in range(t.pointer[row], t.pointer[row + 1]):
            to = t.target[k]
            room.wide[to] = plus_product(room.wide[to], np.int32(t.weight16[base + k]), value)
