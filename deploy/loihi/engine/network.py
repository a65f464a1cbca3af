"""What the engine runs: populations of integer LIF neurons and the synapses between them.

Shapes: N neurons of a population, in C order of its shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.loihi import limits
from spikeport.errors import UsageError
from spikeport.export.shapes import Shape

IntArray = NDArray[np.int32]
Parameter = int | IntArray
"""One number that all neurons share, or [N]."""
PARAMETERS = ("du", "dv", "vth_mant", "reset_by")

WEIGHT_MIN, WEIGHT_MAX = -256, 255


def one_or_each(values_N: IntArray) -> Parameter:
    """Return the number that all neurons share, or `values_N` where they differ."""
    return int(values_N[0]) if np.all(values_N == values_N[0]) else values_N


@dataclass(frozen=True)
class Population:
    """LIF neurons. Lava's process shares du, dv and threshold between them; they may have their own, `[N]`, here.

    In every step, with a what the synapses deliver:

        u = wrap(trunc(u (4096 - (du + 1)) / 4096) + (a << 6))
        v = clip(trunc(v (4096 - dv) / 4096) + u + (bias_mant << bias_exp), -(2^23 - 1), 2^23 - 1)
        s = v > (vth_mant << 6)
        v = 0 where s                  (reset "zero", Loihi's)
        v = v - reset_by where s       (reset "subtract")

    trunc is towards 0; wrap takes 2^24 off above 2^23 and adds it at or below -2^23, once. A spike needs v above 0, so
    that taking off at most 2^23 - 1 never leaves the 24 bits.

    Attributes:
        name: unique.
        shape: of the population.
        du: synaptic decay, 0 to 4095; 4095 keeps no current. As dv, vth_mant and reset_by one for all neurons, or [N].
        dv: membrane decay, 0 to 4096.
        vth_mant: 0 to 2^17 - 1.
        bias_mant: [N], -4096 to 4095.
        bias_exp: 0 to 7.
        constant: [N], what arrives in every step but the first, as from a source that always spikes; `None` for 0.
        onset: steps for which u and v are held at 0.
        reset: `zero`, or `subtract`, an extension that Lava does not have.
        reset_by: what `subtract` takes off, in the unit of v, 0 to 2^23 - 1, whatever the threshold; 0 is no reset.
        refractory: steps after a spike for which v is held at 0. An extension that Lava's fixed point does not have.
    """

    name: str
    shape: Shape
    du: Parameter
    dv: Parameter
    vth_mant: Parameter
    bias_mant: IntArray
    bias_exp: int = 0
    constant: IntArray | None = None
    onset: int = 0
    reset: Literal["zero", "subtract"] = "zero"
    reset_by: Parameter = 0
    refractory: int = 0

    @property
    def size(self) -> int:
        """N."""
        return prod(self.shape)

    @property
    def bias(self) -> IntArray:
        """What is added to v in every step, [N]."""
        return (self.bias_mant.astype(np.int32) << np.int32(self.bias_exp)).astype(np.int32)

    @property
    def unlike(self) -> dict[str, IntArray]:
        """The parameters that differ between the neurons, [N] each."""
        named = {name: np.asarray(getattr(self, name)) for name in PARAMETERS}
        return {name: values for name, values in named.items() if np.unique(values).size > 1}


@dataclass(frozen=True)
class Synapses:
    """Connections from one input or population to a population: a = (W s) << weight_exp, one step later.

    Attributes:
        source: an input or a population; its own target for recurrence.
        target: a population.
        weight: [target N, source N], whole numbers from -256 to 255; entries that are not stored are 0.
        weight_exp: -8 to 7; a negative one shifts the sum right, rounding down.
        wait: steps beyond the one that every connection takes.
    """

    source: str
    target: str
    weight: csr_array
    weight_exp: int = 0
    wait: int = 0


@dataclass(frozen=True)
class IntegerNetwork:
    """Inputs, populations and synapses, held against Loihi's ranges when it is made.

    Attributes:
        inputs: the shape of each input.
        populations: in any order.
        synapses: between them.

    Raises:
        UsageError: a value is out of its range, or a name or a shape does not fit.
    """

    inputs: Mapping[str, Shape]
    populations: Sequence[Population]
    synapses: Sequence[Synapses] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        sizes = self.sizes
        if len(sizes) != len(self.inputs) + len(self.populations):
            raise UsageError("the network", "two of its inputs and populations share a name", "Rename one")
        for population in self.populations:
            _check_population(population)
        for synapses in self.synapses:
            _check_synapses(synapses, sizes)

    @property
    def sizes(self) -> dict[str, int]:
        """The number of elements of every input and population."""
        return {name: prod(shape) for name, shape in self.inputs.items()} | {p.name: p.size for p in self.populations}

    @property
    def synapse_count(self) -> int:
        """Stored synapses."""
        return sum(int(s.weight.nnz) for s in self.synapses)


def _check_population(population: Population) -> None:
    ranges = {
        "du": (population.du, 0, limits.DECAY_MAX),
        "dv": (population.dv, 0, limits.DECAY_ONE),
        "vth_mant": (population.vth_mant, 0, limits.VTH_MANT_MAX),
        "bias_exp": (population.bias_exp, 0, limits.BIAS_EXP_MAX),
        "onset": (population.onset, 0, np.inf),
        "reset_by": (population.reset_by, 0, limits.STATE_MAX),
        "refractory": (population.refractory, 0, 63),
        "bias_mant": (population.bias_mant, -limits.BIAS_MANT_MAX - 1, limits.BIAS_MANT_MAX),
    }
    for name, (values, low, high) in ranges.items():
        outside = [int(x) for x in np.ravel(values) if not low <= x <= high]
        if outside:
            raise UsageError(
                f"population '{population.name}': {name} {outside[0]}",
                f"Loihi's is {low} to {high}",
                "Quantise it within that range",
            )
    if population.reset == "zero" and np.any(population.reset_by):
        raise UsageError(
            f"population '{population.name}': reset_by {population.reset_by}",
            "a reset to zero takes nothing off",
            "Choose reset='subtract', or leave reset_by out",
        )
    each = {name: getattr(population, name) for name in PARAMETERS if np.ndim(getattr(population, name))}
    for name, values in (each | {"bias_mant": population.bias_mant, "constant": population.constant}).items():
        if values is not None and np.shape(values) != (population.size,):
            raise UsageError(
                f"population '{population.name}': {name} of shape {np.shape(values)}",
                f"it has {population.size} neurons",
                "Give one number for each, in one dimension",
            )


def _check_synapses(synapses: Synapses, sizes: Mapping[str, int]) -> None:
    where = f"synapses from '{synapses.source}' to '{synapses.target}'"
    if synapses.source not in sizes or synapses.target not in sizes:
        raise UsageError(where, "the network has no such input or population", "Name ones that it has")
    expected = (sizes[synapses.target], sizes[synapses.source])
    if synapses.weight.shape != expected:
        raise UsageError(where, f"their weight is {synapses.weight.shape}, not {expected}", "Give [target, source]")
    data = synapses.weight.data
    if data.dtype.kind not in "iu":
        raise UsageError(where, f"their weights are {data.dtype}", "Quantise them to whole numbers")
    low, high = int(np.min(data, initial=0)), int(np.max(data, initial=0))
    if low < WEIGHT_MIN or high > WEIGHT_MAX:
        raise UsageError(
            where, f"a weight is {low if low < WEIGHT_MIN else high}, Loihi's are {WEIGHT_MIN} to {WEIGHT_MAX}",
            "Use weight_exp for larger ones",
        )  # fmt: skip
    if not -8 <= synapses.weight_exp <= limits.WEIGHT_EXP_MAX:
        raise UsageError(where, f"weight_exp is {synapses.weight_exp}, Loihi's is -8 to 7", "Scale the weights")
    if synapses.wait < 0:
        raise UsageError(where, f"wait is {synapses.wait}", "Give 0 or more steps")
