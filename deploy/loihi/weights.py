"""What a weight becomes when it is stored: Loihi keeps few bits, and one of them may be the sign."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from spikeport.deploy.loihi import limits
from spikeport.errors import UsageError

SignMode = Literal["mixed", "excitatory", "inhibitory"]


def sign_mode_of(weight: csr_array) -> SignMode:
    """Return the narrowest mode that holds `weight`."""
    if np.min(weight.data, initial=0) >= 0:
        return "excitatory"
    return "inhibitory" if np.max(weight.data, initial=0) <= 0 else "mixed"


def stored_weights(
    weight: csr_array, num_weight_bits: int = limits.WEIGHT_BITS, sign_mode: SignMode | None = None
) -> csr_array:
    """Return `weight` as the connection processes of Lava, and the chip, keep it.

    Weights are clipped to -256 to 255 (mixed), or to a magnitude of 255 with the mode's sign. Then the low bits that
    are not kept are cleared: `8 - num_weight_bits` of them, and one more where a bit holds the sign. So mixed 8-bit
    weights are even. Mixed weights are rounded down, those of one sign towards 0.

    Args:
        weight: whole numbers [target, source].
        num_weight_bits: 1 to 8.
        sign_mode: `None` for the narrowest that holds them, as Lava chooses.

    Raises:
        UsageError: `num_weight_bits` is out of range.

    Source: lava-nc 0.10.0, `lava/utils/weightutils.py`, as `lava/proc/dense/models.py` calls it.
    """
    if not 1 <= num_weight_bits <= limits.WEIGHT_BITS:
        raise UsageError(
            f"num_weight_bits {num_weight_bits}", "Loihi's weights have 1 to 8 bits", "Choose one of those"
        )
    mode = sign_mode or sign_mode_of(weight)
    cleared = limits.WEIGHT_BITS - num_weight_bits + (mode == "mixed")
    sign = -1 if mode == "inhibitory" else 1
    lowest = -(2**limits.WEIGHT_BITS) if mode == "mixed" else 0
    clipped = np.clip(sign * weight.data.astype(np.int32), lowest, 2**limits.WEIGHT_BITS - 1)
    stored = csr_array((sign * (clipped >> cleared << cleared), weight.indices, weight.indptr), shape=weight.shape)
    stored.eliminate_zeros()
    return stored
