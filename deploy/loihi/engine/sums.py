"""Sums of 8-bit weights over the events of a step, held in registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from spikeport.deploy.loihi.engine.lanes import I16, I32, I64, Lanes, Memory, filled, kernel, loop, zeros

LANES = 32


def row_sums(vectors: int) -> Any:
    """Return `add_rows(sums, weights, events, at, base, stride, first, last, shift)` for `vectors` x 32 targets.

    `sums[at + j] += (sum over i in first..last of weights[base + events[i] stride + j]) << shift`. The sum is one of
    16 bits: there may be at most 255 events.
    """

    def emit(builder: Any, pointers: list[Any], numbers: list[Any]) -> None:
        sums, weights, events = pointers
        at, base, stride, first, last, shift = numbers

        def body(i: Any, held: Sequence[Lanes]) -> Sequence[Lanes]:
            event = builder.sext(Memory(builder, events, i).scalar(), I64)
            row = Memory(builder, weights, builder.add(base, builder.mul(event, stride)))
            return [x + row.at(k * LANES).load(LANES).widened(I16) for k, x in enumerate(held)]

        totals = loop(builder, first, last, [zeros(builder, I16, LANES)] * vectors, body)
        left = filled(builder, shift, LANES)
        for k, total in enumerate(totals):
            place = Memory(builder, sums, at).at(k * LANES)
            place.store(place.load(LANES) + (total.widened(I32) << left))

    return kernel(emit, 3, (*(types.int64,) * 5, types.int32))


def block_sum(lanes: int) -> Any:
    """Return `add_block(sums, weights, at, base)`: `sums[at + j] += weights[base + j]` for `lanes` 16-bit sums."""

    def emit(builder: Any, pointers: list[Any], numbers: list[Any]) -> None:
        place = Memory(builder, pointers[0], numbers[0])
        weight = Memory(builder, pointers[1], numbers[1]).load(lanes)
        place.store(place.load(lanes) + weight.widened(I16))

    return kernel(emit, 2, (types.int64, types.int64))


def _emit_product(builder: Any, pointers: list[Any], numbers: list[Any]) -> Any:
    total, weight, value = numbers
    return builder.add(total, builder.mul(weight, value))


def _emit_shifted(builder: Any, pointers: list[Any], numbers: list[Any]) -> Any:
    """A negative shift goes right, rounding down."""
    total, x, shift = numbers
    left = builder.shl(x, shift)
    right = builder.ashr(x, builder.neg(shift))
    negative = builder.icmp_signed("<", shift, ir.Constant(I32, 0))
    # The side that is not chosen may shift by too much, which is no number, and is not looked at.
    return builder.add(total, builder.select(negative, right, left))


plus_product = kernel(_emit_product, 0, (types.int32,) * 3, types.int32)
"""`total + weight value` in 32 bits that wrap."""
plus_shifted = kernel(_emit_shifted, 0, (types.int32,) * 3, types.int32)
"""`total + (x << shift)` in 32 bits that wrap."""
