"""Constants of a chip that the mapper places networks on, as variants of an energy model.

The figures stand once, in `deploy/loihi/mapper/chips.yaml`. Nothing is placed here, so messages between cores are left
out; the placement of a row counts them.
"""

from __future__ import annotations

from spikeport.benchmarks.energy.model import Variant
from spikeport.deploy.loihi.mapper.chip import Chip, Costs


def chip_variants(chip: Chip) -> tuple[Variant, ...]:
    """Return two variants for each set of constants: a neuron is active only where it fires, or at every step.

    The sources do not say what an active update is, so both ends are shown, as the mapper does.
    """
    return tuple(variant for costs in chip.costs for variant in (_where_it_fires(costs), _always(costs)))


def _where_it_fires(c: Costs) -> Variant:
    return Variant(
        name=f"{c.name}, updates active where neurons fire",
        note=f"{c.mark}: {c.source}",
        ac_pj=c.synop_pj,
        update_pj=c.update_inactive_pj,
        spike_pj=c.spike_pj + c.update_active_pj - c.update_inactive_pj,
    )


def _always(c: Costs) -> Variant:
    return Variant(
        name=f"{c.name}, updates always active",
        note=f"{c.mark}: {c.source}",
        ac_pj=c.synop_pj,
        update_pj=c.update_active_pj,
        spike_pj=c.spike_pj,
    )
