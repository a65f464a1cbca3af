"""One step of LIF neurons in 32-bit integers that wrap, as Lava's casts make them.

`x keep / 4096` is taken in two parts of 12 bits, which is exact for every 32-bit x.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikeport.deploy.loihi.engine.compiled import inlined
from spikeport.deploy.loihi.engine.vector import (
    add32,
    and32,
    mul32,
    shift_logical32,
    shift_signed32,
    shl32,
    sub32,
)

ZERO, ONE, LOW_BITS, DECAY_BITS, SIGN_BIT = np.int32(0), np.int32(1), np.int32(4095), np.int32(12), np.int32(31)
KEEP_BITS, UP, ALIGN_BITS = np.int32(8191), np.int32(20), np.int32(6)
TOP, BOTTOM, SPAN = np.int32(2**23), np.int32(-(2**23)), np.int32(2**24)
V_MAX, V_MIN = np.int32(2**23 - 1), np.int32(1 - 2**23)


@inlined
def decayed(x: Any, keep: Any) -> Any:
    """Return `x keep / 4096`, towards 0."""
    low = mul32(and32(x, LOW_BITS), keep)
    # Below 0, rounding towards 0 is rounding up.
    up = shift_logical32(shift_signed32(x, SIGN_BIT), UP)
    return add32(mul32(shift_signed32(x, DECAY_BITS), keep), shift_logical32(add32(low, up), DECAY_BITS))


@inlined
def wrapped(x: Any) -> Any:
    """Return x brought back into 24 bits, once."""
    return sub32(x, SPAN) if x > TOP else (add32(x, SPAN) if x <= BOTTOM else x)


@inlined
def clipped(x: Any) -> Any:
    """Return x held at the limits of v."""
    return V_MAX if x > V_MAX else (V_MIN if x < V_MIN else x)


@inlined
def lif(a: Any, u: Any, v: Any, bias: Any, keep_u: Any, keep_v: Any, threshold: Any, s: Any) -> Any:
    """Step all neurons; return how often u wrapped and v saturated."""
    # Known to fit 16 bits, the factors are multiplied faster.
    keep_u, keep_v = and32(keep_u, KEEP_BITS), and32(keep_v, KEEP_BITS)
    wraps, clips = ZERO, ZERO
    for j in range(a.size):
        x = add32(decayed(u[j], keep_u), shl32(a[j], ALIGN_BITS))
        y = wrapped(x)
        wraps = add32(wraps, ONE if x != y else ZERO)
        u[j] = y
        x = add32(add32(decayed(v[j], keep_v), y), bias[j])
        y = clipped(x)
        clips = add32(clips, ONE if x != y else ZERO)
        fires = y > threshold
        s[j] = np.uint8(fires)
        v[j] = ZERO if fires else y
    return wraps, clips


@inlined
def lif_extended(
    a: Any,
    u: Any,
    v: Any,
    bias: Any,
    keep_u: Any,
    keep_v: Any,
    threshold: Any,
    s: Any,
    subtract: bool,
    refractory: Any,
    rest: Any,
) -> Any:
    """As `lif`, with reset by subtraction and a refractory time; `rest` holds the steps of it that are left."""
    wraps, clips = ZERO, ZERO
    for j in range(a.size):
        x = add32(decayed(u[j], keep_u), shl32(a[j], ALIGN_BITS))
        y = wrapped(x)
        wraps = add32(wraps, ONE if x != y else ZERO)
        u[j] = y
        x = add32(add32(decayed(v[j], keep_v), y), bias[j])
        y = clipped(x)
        clips = add32(clips, ONE if x != y else ZERO)
        if rest[j] > 0:
            rest[j] -= 1
            y = ZERO
        fires = y > threshold
        s[j] = np.uint8(fires)
        if fires:
            rest[j] = refractory
            y = sub32(y, threshold) if subtract else ZERO
        v[j] = y
    return wraps, clips
