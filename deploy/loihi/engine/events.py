"""Which neurons of a source sent something in a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from spikeport.deploy.loihi.compiled import inlined
from spikeport.deploy.loihi.engine.lanes import Memory, kernel

BLOCK = 64
"""Bytes that are looked at together, one bit each of a 64-bit number."""


def _bits(sign: str, number: int) -> Any:
    """Return `bits(x, at)`: which of 64 bytes from `at` on compare so with a number, as unsigned bytes."""

    def emit(builder: Any, pointers: list[Any], numbers: list[Any]) -> Any:
        block = Memory(builder, pointers[0], numbers[0]).load(BLOCK).value
        mask = builder.icmp_unsigned(sign, block, ir.Constant(block.type, [number] * BLOCK))
        return builder.bitcast(mask, ir.IntType(64))

    return kernel(emit, 1, (types.int64,), types.uint64)


sent_bits, beyond_bits = _bits("!=", 0), _bits(">", 1)


def _emit_first(builder: Any, pointers: list[Any], numbers: list[Any]) -> Any:
    return builder.cttz(numbers[0], ir.Constant(ir.IntType(1), 1))


first_bit = kernel(_emit_first, 0, (types.uint64,), types.int64)
"""The number of the lowest bit that is set; there must be one."""


@inlined
def spikes_of(x: Any, at: int, count: int, events: Any) -> int:
    """Write the numbers of the bytes of `x[at : at + count]` that are 1.

    Returns:
        How many there are, or -1 where a byte is neither 0 nor 1.
    """
    n = k = 0
    beyond = np.uint64(0)
    while k + BLOCK <= count:
        bits = sent_bits(x, at + k)
        beyond |= beyond_bits(x, at + k)
        while bits:
            events[n] = k + first_bit(bits)
            n += 1
            bits &= bits - np.uint64(1)
        k += BLOCK
    for j in range(k, count):
        if x[at + j] != 0:
            beyond |= np.uint64(x[at + j] > 1)
            events[n] = j
            n += 1
    return n if beyond == 0 else -1


@inlined
def values_of(x: Any, at: int, count: int, events: Any, values: Any) -> int:
    """Write the numbers and values of what is not 0 in `x[at : at + count]`; return how many."""
    n = 0
    for j in range(count):
        if x[at + j] != 0:
            events[n] = j
            values[n] = x[at + j]
            n += 1
    return n
