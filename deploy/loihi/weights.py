"""What a weight becomes when it is stored: Loihi keeps few bits, and one of them may be the sign."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.loihi import limits
from spikeport.errors import UnfaithfulError, UsageError

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
    stored = csr_array(weight, dtype=np.int32, copy=True)
    stored.data = sign * (clipped >> cleared << cleared)
    stored.eliminate_zeros()
    return stored


def sign_mode_that_keeps(what: str, weight: csr_array) -> SignMode:
    """Return the mode in which all of the 8-bit `weight` is stored as it is.

    Raises:
        UnfaithfulError: none does; `what` names the synapses.
    """
    modes: tuple[SignMode, ...] = ("mixed", "excitatory", "inhibitory")
    for mode in modes:
        if (stored_weights(weight, sign_mode=mode) != weight).nnz == 0:
            return mode
    raise UnfaithfulError(
        f"{what} (weights {int(weight.data.min())} to {int(weight.data.max())})",
        "mixed 8-bit weights are even and end at 254, and those of one sign end at 255",
        "Quantise them so",
    )


def split_constant(name: str, constant: NDArray[np.int32]) -> tuple[int, SignMode]:
    """Return the exponent and the sign mode of one synapse a neuron that together give `constant` [N].

    Raises:
        UnfaithfulError: one synapse a neuron cannot give it; `name` is the population.
    """
    for exponent in range(limits.WEIGHT_EXP_MAX + 1):
        weight = constant >> exponent
        if np.array_equal(weight << exponent, constant):
            with suppress(UnfaithfulError):
                return exponent, sign_mode_that_keeps(name, csr_array(weight[:, None]))
    raise UnfaithfulError(
        f"node '{name}' (constant input up to {int(np.abs(constant).max())})",
        "one synapse carries 8 bits and an exponent of 0 to 7",
        "Quantise it so",
    )
