"""Which neurons of a source sent something in a step."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikeport.deploy.loihi.engine.compiled import inlined
from spikeport.deploy.loihi.engine.vector import trailing_zeros

GATHER = np.uint64(0x0102040810204080)
"""Times eight bytes of 0 and 1, this leaves them as the bits of the highest byte."""
BINARY = np.uint64(0x0101010101010101)


@inlined
def spikes_of(words: Any, events: Any) -> int:
    """Write the numbers of the bytes that are 1; return how many, or -1 where a byte is neither 0 nor 1."""
    n = 0
    seen = np.uint64(0)
    for k in range(0, words.size, 8):
        bits = np.uint64(0)
        for j in range(min(8, words.size - k)):
            seen |= words[k + j]
            bits |= ((words[k + j] * GATHER) >> np.uint64(56)) << np.uint64(8 * j)
        while bits:
            events[n] = 8 * k + trailing_zeros(bits)
            n += 1
            bits &= bits - np.uint64(1)
    return n if seen & ~BINARY == 0 else -1


@inlined
def values_of(row: Any, events: Any, values: Any) -> int:
    """Write the numbers and values of what is not 0; return how many."""
    n = 0
    for j in range(row.size):
        if row[j] != 0:
            events[n] = j
            values[n] = row[j]
            n += 1
    return n
