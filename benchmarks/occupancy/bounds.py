"""The fewest cores that any placement takes: what a stage needs over what a core holds, limit by limit.

    neurons           N / neurons a core
    synaptic memory   the fewest words of all lists / words a core
    axons in          a source that reaches n neurons sends to at least ceil(n / neurons a core) cores
    axons out         the same axons, where they leave

all rounded up. Where populations share cores, needs of all layers are added up first; where each core holds one
population, cores are. More may be needed, for no placement need reach every bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from spikeport.benchmarks.occupancy.needs import LayerNeed
from spikeport.benchmarks.occupancy.pattern import Counts
from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.place import ADVICE
from spikeport.deploy.loihi.mapper.placement import Breach
from spikeport.deploy.loihi.mapper.slices import ANY, chip_limit

LIMITS = ("compartments", "in_axons", "synapse_words", "out_axons")


@dataclass(frozen=True)
class Bound:
    """The fewest cores.

    Attributes:
        by_limit: by each of `LIMITS`, were it the only one; `None` where the chip has no such limit.
        by_layer: of each layer, were it alone.
        cores: by all limits.
        binding: the limit that asks for the most.
        chips: that have so many cores.
        breach: what breaks first on one chip; `None` where no bound shows that anything does.
    """

    by_limit: Mapping[str, int | None]
    by_layer: Mapping[str, int]
    cores: int
    binding: str
    chips: int
    breach: Breach | None


def bound(needs: Mapping[str, LayerNeed], chip: Chip, shared_kernels: bool = False) -> Bound:
    """Return the fewest cores of `chip` that layers with these `needs` take.

    Args:
        needs: by layer, in order, of this chip.
        chip: where.
        shared_kernels: whether each kernel is stored once, not unrolled.
    """
    alone = {name: _amounts({name: need}, chip, shared_kernels) for name, need in needs.items()}
    for name, pairs in _sent(needs, chip).items():
        alone[name]["out_axons"] = pairs
    by_layer = {name: max(_cores(amounts, chip).values()) for name, amounts in alone.items()}
    if chip.limits.populations.value == 1:
        each = [_cores(amounts, chip) for amounts in alone.values()]
        by_limit = {limit: sum(cores[limit] for cores in each) for limit in LIMITS}
        so_far = list(accumulate(by_layer.values()))
    else:
        whole = _amounts(needs, chip, shared_kernels)
        whole["out_axons"] = sum(amounts["out_axons"] for amounts in alone.values())
        by_limit = _cores(whole, chip)
        so_far = _prefixes(needs, chip, shared_kernels)
    cores = max([*by_limit.values(), *so_far[-1:]])
    breach = _stuck(needs, chip, shared_kernels) or _too_many(tuple(needs), so_far, cores, chip)
    binding = max(LIMITS, key=lambda limit: by_limit[limit])
    published = {limit: by_limit[limit] if chip_limit(chip, limit) < ANY else None for limit in LIMITS}
    return Bound(published, by_layer, cores, binding, -(-cores // chip.cores), breach)


def _amounts(needs: Mapping[str, LayerNeed], chip: Chip, shared_kernels: bool) -> dict[str, int]:
    """Return what some layers need together, but for what they send themselves."""
    reached: dict[str, Counts] = {}
    for need in needs.values():
        for source, out in need.reached.items():
            reached[source] = reached[source] + out if source in reached else out
    return {
        "compartments": sum(need.neurons for need in needs.values()),
        "in_axons": sum(_axons(out, chip) for out in reached.values()),
        "synapse_words": sum(need.kernel_words if shared_kernels else need.words for need in needs.values()),
        "out_axons": 0,
    }


def _sent(needs: Mapping[str, LayerNeed], chip: Chip) -> dict[str, int]:
    """Return the axons that leave each layer, at least."""
    each: dict[str, list[Counts]] = {name: [] for name in needs}
    for need in needs.values():
        for source, out in need.reached.items():
            if source in each:
                each[source].append(out)
    if chip.limits.populations.value == 1:
        return {name: sum(_axons(out, chip) for out in outs) for name, outs in each.items()}
    return {name: _axons(np.sum(outs, axis=0), chip) if outs else 0 for name, outs in each.items()}


def _axons(out_N: Counts, chip: Chip) -> int:
    """Return pairs of an element and a core that it sends to, at least."""
    return int((-(-out_N // chip_limit(chip, "compartments"))).sum())


def _cores(amounts: Mapping[str, int], chip: Chip) -> dict[str, int]:
    return {limit: -(-amounts[limit] // chip_limit(chip, limit)) for limit in LIMITS}


def _prefixes(needs: Mapping[str, LayerNeed], chip: Chip, shared_kernels: bool) -> list[int]:
    """Return the fewest cores of the first layer, of the first two and so on, which are networks of their own."""
    names = tuple(needs)
    found = []
    for count in range(1, len(names) + 1):
        some = {name: needs[name] for name in names[:count]}
        found.append(max(_cores(_amounts(some, chip, shared_kernels), chip).values()))
    return found


def _stuck(needs: Mapping[str, LayerNeed], chip: Chip, shared_kernels: bool) -> Breach | None:
    """Return the first layer with a neuron that fits no core."""
    for name, need in needs.items():
        alone = {"in_axons": need.fan_in, "synapse_words": 0 if shared_kernels else need.neuron_words}
        for limit, needed in alone.items():
            if needed > (available := chip_limit(chip, limit)):
                unit = getattr(chip.limits, limit).unit
                fits = ADVICE[limit].format(available=available)
                return Breach(limit, name, needed, available, unit, "a neuron alone needs up to", fits)
    return None


def _too_many(names: tuple[str, ...], so_far: list[int], cores: int, chip: Chip) -> Breach | None:
    if cores <= chip.cores:
        return None
    layer = next((name for name, used in zip(names, so_far, strict=True) if used > chip.cores), names[-1])
    chips = -(-cores // chip.cores)
    return Breach(
        "cores", layer, cores, chip.cores, "cores",
        "with it, if not before, one chip is full: the network needs at least", f"No fewer than {chips} chips hold it",
    )  # fmt: skip
