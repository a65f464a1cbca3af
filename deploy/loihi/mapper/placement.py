"""Where every neuron of a network lies, and what each core then holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.reach import Reach
from spikeport.errors import UnfaithfulError

Ints = NDArray[np.int64]

USAGE = ("compartments", "in_axons", "out_axons", "synapse_words", "populations", "formats")
"""What is limited on a core, named as in `Limits`."""


@dataclass(frozen=True)
class Breach:
    """The first limit that breaks.

    Attributes:
        limit: named as in `Limits`, or `reset_by`.
        layer: where.
        needed: how much the layer, or the whole network for `cores`, needs.
        available: how much there is.
        unit: of both.
        detail: what needs it.
        fits: what would fit.
    """

    limit: str
    layer: str
    needed: int
    available: int
    unit: str
    detail: str
    fits: str


class UnplacedError(UnfaithfulError):
    """The network does not fit the chip; `breach` says where and by how much."""

    def __init__(self, breach: Breach, title: str) -> None:
        self.breach = breach
        self.title = title
        super().__init__(
            f"layer '{breach.layer}' on {title}",
            f"{breach.detail} {breach.needed} {breach.unit}, there are {breach.available} "
            f"({breach.needed - breach.available} too many)",
            breach.fits,
        )

    def __reduce__(self) -> tuple[type[UnplacedError], tuple[Breach, str]]:  # type: ignore[override]
        return type(self), (self.breach, self.title)


@dataclass(frozen=True)
class Slice:
    """Neurons `first` up to, not including, `last` of a population, on a core; cores are numbered over all chips."""

    population: str
    first: int
    last: int
    core: int


@dataclass(frozen=True)
class Placement:
    """A network on a chip, or several.

    Attributes:
        chip: the chip.
        chips: how many.
        slices: in the order of populations and neurons.
        usage: for each of `USAGE` and for `synapses`, how much every used core holds.
        core_of: the core of every neuron, by population.
        compartments: of one neuron, by population.
        reach: for every source, [N, cores]: how many synapses each of its elements has on each core.
    """

    chip: Chip
    chips: int
    slices: Sequence[Slice]
    usage: Mapping[str, Ints]
    core_of: Mapping[str, Ints]
    compartments: Mapping[str, int]
    reach: Reach

    @property
    def cores(self) -> int:
        """Cores that hold something."""
        return len(self.usage["compartments"])

    @property
    def synapses(self) -> int:
        """All of them, unrolled."""
        return int(self.usage["synapses"].sum())
