"""What lava-dl's netx makes of the weights in a `.net`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.weights import stored_weights

IntArray = NDArray[np.int32]


def netx_keeps(matrices: Sequence[IntArray]) -> bool:
    """Return whether the dense weights of a layer, its recurrent ones second, survive netx as they are.

    netx moves the weights as far up as their 8 bits allow, takes as many bits as they then need, and shifts the sum
    back. Lava's process finds the sign mode of each matrix by itself, which need not be netx's.

    Source: lava-dl 0.6.0, `lava/lib/dl/netx/utils.py` (`optimize_weight_bits`) and `hdf5.py` (`create_dense`).
    """
    together = np.hstack(matrices)
    top, low = int(together.max()), int(together.min())
    if (top == low == 0) or (low < 0 < top and top > 254):
        return False
    mixed = top >= 0 > low
    up = int(np.floor(np.log2(_room(low, top)))) + mixed
    unused = next(n for n in range(limits.WEIGHT_BITS, -1, -1) if np.all(together % 2**n == 0)) - mixed
    bits = limits.WEIGHT_BITS - up - unused
    if not 1 <= bits <= limits.WEIGHT_BITS or up < 0:
        return False
    moved = [csr_array(matrix << up) for matrix in matrices]
    return all((stored_weights(matrix, bits) != matrix).nnz == 0 for matrix in moved)


def _room(low: int, top: int) -> float:
    """Return how many times larger the weights may be."""
    if top < 0:
        return -256 / low
    return 255 / top if low >= 0 else min(127 / top if top else np.inf, -128 / low)
