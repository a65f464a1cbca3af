"""One step of LIF neurons in 32-bit integers that wrap, as Lava's casts make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from spikeport.deploy.loihi.engine.lanes import I32, I64, Lanes, Memory, filled, kernel, loop, zeros

LANES = 16
LOW_BITS, DECAY_BITS, SIGN_BIT, UP, ALIGN_BITS = 4095, 12, 31, 20, 6
KEEP_BITS = 8191
TOP, SPAN = 2**23, 2**24


def decayed(x: Lanes, keep: Lanes) -> Lanes:
    """Return `x keep / 4096`, towards 0, in two parts of 12 bits: exact for every 32-bit x."""
    # Below 0, rounding towards 0 is rounding up.
    up = (x >> SIGN_BIT).unsigned_shift(UP)
    low = ((x & LOW_BITS) * keep + up).unsigned_shift(DECAY_BITS)
    return (x >> DECAY_BITS) * keep + low


def wrapped(x: Lanes) -> Lanes:
    """Return x brought back into 24 bits, once."""
    raised = x.compare("<=", -TOP).where(x + SPAN, x)
    return x.compare(">", TOP).where(x - SPAN, raised)


def clipped(x: Lanes) -> Lanes:
    """Return x held at the limits of v."""
    lowered = x.compare(">", TOP - 1).where(TOP - 1, x)
    return x.compare("<", 1 - TOP).where(1 - TOP, lowered)


def counted(total: Lanes, mask: Lanes) -> Lanes:
    """Return `total` plus 1 where the mask holds."""
    return total - mask.widened(I32)


def _emit_copy(builder: Any, pointers: list[Any], numbers: list[Any]) -> None:
    to, source = pointers
    start, width = numbers

    def body(i: Any, held: Sequence[Lanes]) -> Sequence[Lanes]:
        j = builder.mul(i, ir.Constant(I64, LANES))
        Memory(builder, to, j).store(Memory(builder, source, builder.add(start, j)).load(LANES))
        return held

    loop(builder, ir.Constant(I64, 0), builder.sdiv(width, ir.Constant(I64, LANES)), [], body)


copy = kernel(_emit_copy, 2, (types.int64, types.int64))
"""`copy(to, source, start, width)`: `to[:width] = source[start : start + width]` for whole vectors."""


def _plain(builder: Any, pointers: list[Any], numbers: list[Any]) -> None:
    """Write the step of neurons that reset to 0."""
    a, bias, u, v, s, counts = pointers
    start, at, width, place, *factors = numbers
    keep_u, keep_v, threshold = (filled(builder, x, LANES) for x in factors)

    def step(j: Any, held: Sequence[Lanes]) -> Sequence[Lanes]:
        here = builder.add(start, j)
        new_u, new_v, over = _integrate(builder, (a, j), (bias, u, v), here, keep_u, keep_v)
        fires = new_v.compare(">", threshold)
        Memory(builder, u, here).store(new_u)
        Memory(builder, v, here).store(fires.where(0, new_v))
        Memory(builder, s, builder.add(at, j)).store(fires.as_bytes())
        return [counted(total, mask) for total, mask in zip(held, over, strict=True)]

    _store(Memory(builder, counts, place), _stepped(builder, width, step))


def _extended(builder: Any, pointers: list[Any], numbers: list[Any]) -> None:
    """Write the step of neurons with parameters of their own, reset by subtraction, or a refractory time."""
    a, bias, u, v, rest, s, counts, *own = pointers
    start, at, width, place, subtract, refractory = numbers
    subtracts = filled(builder, builder.neg(subtract), LANES)
    pause = filled(builder, refractory, LANES)

    def step(j: Any, held: Sequence[Lanes]) -> Sequence[Lanes]:
        here = builder.add(start, j)
        keep_u, keep_v, threshold, taken = (Memory(builder, x, here).load(LANES) for x in own)
        new_u, new_v, over = _integrate(builder, (a, j), (bias, u, v), here, keep_u, keep_v)
        left = Memory(builder, rest, here)
        resting = left.load(LANES).compare(">", 0)
        new_v = resting.where(0, new_v)
        fires = new_v.compare(">", threshold)
        left.store(fires.where(pause, resting.where(left.load(LANES) - 1, left.load(LANES))))
        Memory(builder, u, here).store(new_u)
        Memory(builder, v, here).store(fires.where((new_v - taken) & subtracts, new_v))
        Memory(builder, s, builder.add(at, j)).store(fires.as_bytes())
        return [counted(total, mask) for total, mask in zip(held, over, strict=True)]

    _store(Memory(builder, counts, place), _stepped(builder, width, step))


def _integrate(
    builder: Any, sums: tuple[Any, Any], states: Sequence[Any], here: Any, keep_u: Lanes, keep_v: Lanes
) -> tuple[Lanes, Lanes, tuple[Lanes, Lanes]]:
    """Return u and v before any spike, and where u wrapped and v was held."""
    arriving = Memory(builder, *sums).load(LANES)
    bias, u, v = (Memory(builder, x, here).load(LANES) for x in states)
    # Known to fit 16 bits, the decays are multiplied faster.
    free_u = decayed(u, keep_u & KEEP_BITS) + (arriving << ALIGN_BITS)
    new_u = wrapped(free_u)
    free_v = decayed(v, keep_v & KEEP_BITS) + new_u + bias
    new_v = clipped(free_v)
    return new_u, new_v, (free_u.compare("!=", new_u), free_v.compare("!=", new_v))


def _stepped(builder: Any, width: Any, step: Any) -> list[Lanes]:
    """Emit `step` for every `LANES` neurons; return how often u wrapped and v was held, in parts."""
    none = zeros(builder, I32, LANES)
    lanes = ir.Constant(I64, LANES)

    def body(i: Any, held: Sequence[Lanes]) -> Sequence[Lanes]:
        stepped: Sequence[Lanes] = step(builder.mul(i, lanes), held)
        return stepped

    return loop(builder, ir.Constant(I64, 0), builder.sdiv(width, lanes), [none, none], body)


def _store(counts: Memory, totals: Sequence[Lanes]) -> None:
    for k, total in enumerate(totals):
        place = counts.at(k * LANES)
        place.store(place.load(LANES) + total)


_PLACES = (types.int64,) * 4

lif = kernel(_plain, 6, (*_PLACES, *(types.int32,) * 3))
"""`lif(a, bias, u, v, s, counts, start, at, width, place, keep_u, keep_v, threshold)`.

Steps `width` neurons from `start` on, what arrives at them standing first in `a`; writes their spikes to `s` from
`at` on, and adds to `counts` from `place` on, in 16 parts each, how often u wrapped and v was held.
"""
lif_extended = kernel(_extended, 11, (*_PLACES, *(types.int32,) * 2))
"""`lif_extended(a, bias, u, v, rest, s, counts, keep_u, keep_v, threshold, reset_by, start, at, width, place,
subtract, refractory)`.

As `lif`, but decays and threshold are every neuron's own, a spike takes `reset_by` off v where `subtract` is 1, and a
refractory time is counted down by `rest`.
"""
