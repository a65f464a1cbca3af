"""What neurons take on a chip where they do not reset to zero.

A chip whose neurons are programs takes any reset. One whose neurons can only reset to zero makes such a neuron of
several compartments: one that integrates and is never reset, one that fires on its membrane, and, for a reset by
subtraction, a synapse from the second back to the first. A synapse takes a step, so it takes off what is left of
`reset_by` by then, K = reset_by (1 - dv), with 8 bits and an exponent. What the chip then computes is close to the
integers of the engine, not equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2

import numpy as np
from scipy.sparse import csr_array, diags_array

from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.engine import IntegerNetwork, Population
from spikeport.deploy.loihi.mapper.chip import Chip, Reset
from spikeport.deploy.loihi.mapper.lists import Connection
from spikeport.deploy.loihi.mapper.placement import Breach, UnplacedError

FEEDBACK_BITS = 8
FEEDBACK_MAX = 2**FEEDBACK_BITS - 1


def reset_of(population: Population, chip: Chip) -> Reset | None:
    """Return what the population's reset takes on `chip`, `None` for a reset to zero."""
    if population.reset == "zero":
        return None
    return chip.resets.subtract if np.any(population.reset_by) else chip.resets.none


def compartments_of(population: Population, chip: Chip) -> int:
    """Return the compartments of one neuron."""
    reset = reset_of(population, chip)
    if reset is None:
        return 1
    return reset.compartments if np.all(population.du == limits.DU_NONE) else reset.compartments_with_current


def feedback_of(network: IntegerNetwork, chip: Chip) -> list[Connection]:
    """Return the synapses that take off the resets.

    Raises:
        UnplacedError: one cannot take off as much.
    """
    found = []
    for p in network.populations:
        reset = reset_of(p, chip)
        if reset is None or not reset.feedback:
            continue
        taken_N = np.broadcast_to(p.reset_by * (limits.DECAY_ONE - p.dv) / limits.DECAY_ONE / limits.ALIGN, p.size)
        taken = float(taken_N.max())
        exponent = max(0, ceil(log2(max(taken, 1.0) / FEEDBACK_MAX)))
        if exponent > limits.WEIGHT_EXP_MAX:
            most = FEEDBACK_MAX << limits.WEIGHT_EXP_MAX
            breach = Breach(
                "reset_by", p.name, ceil(taken), most, "units of the threshold", "what its reset takes off is",
                "Train a threshold closer to the layer's largest weight, or use a reset to zero",
            )  # fmt: skip
            raise UnplacedError(breach, chip.title)
        weight_N = np.where(np.broadcast_to(p.reset_by, p.size) > 0, np.maximum(1, np.rint(taken_N / 2**exponent)), 0)
        weight = csr_array(diags_array(-weight_N), dtype=np.int32)
        weight.eliminate_zeros()
        found.append(Connection(p.name, p.name, weight, exponent, 0, FEEDBACK_BITS))
    return found


def assumptions_of(network: IntegerNetwork, chip: Chip) -> Sequence[str]:
    """Return what was taken for every population that does not reset to zero, in words."""
    found = []
    for p in network.populations:
        if (reset := reset_of(p, chip)) is not None:
            kind = "reset by subtraction" if np.any(p.reset_by) else "no reset"
            count = compartments_of(p, chip)
            takes = "1 compartment" if count == 1 else f"{count} compartments"
            takes += " and a synapse" if reset.feedback else ""
            found.append(f"layer '{p.name}', {kind}: {takes} a neuron. {reset.source} ({reset.mark})")
    return found
