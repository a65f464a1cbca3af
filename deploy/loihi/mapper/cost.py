"""Energy and time on the chip from counted events and published constants: estimated, never measured.

    E = synops e_synop + spikes e_spike + messages e_message + hops e_hop + compartments steps e_update

A neuron is one compartment, or more where its reset is not to zero. One that fires in a step is taken as active in it;
the upper end takes every neuron as active in every step, for what the sources mean by active is not said. Cores work
side by side, each on one event after the other, so a step takes as long as its slowest core, and a barrier.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.mapper.blocks import MappedEnergy, StepTime
from spikeport.deploy.loihi.mapper.chip import Costs, Times
from spikeport.deploy.loihi.mapper.placement import Placement
from spikeport.deploy.loihi.mapper.traffic import Traffic, core_synops

Array = NDArray[np.generic]

ENERGY_LEAVES_OUT = (
    "what sends the inputs: host, embedded processors, the link to the chip",
    "messages between chips, beyond their arrival",
    "leakage, clock and the barrier that ends a step",
)
TIME_LEAVES_OUT = (
    "the way of messages over the mesh, and their queues",
    "input and output of the chip, which often decide",
)


def energy(placement: Placement, traffic: Traffic) -> MappedEnergy | None:
    """Return picojoules per sample; `None` where no constants are published."""
    costs = placement.chip.costs
    if not costs:
        return None
    samples = next(iter(next(iter(traffic.events.values())).values())).shape[1]
    low = [_total_pj(placement, traffic, c, all_active=False) / samples for c in costs]
    high = [_total_pj(placement, traffic, c, all_active=True) / samples for c in costs]
    return MappedEnergy(
        per_sample_pj=low[0],
        low_pj=min(low),
        high_pj=max(high),
        nominal=costs[0].name,
        sources=tuple(f"{c.name} ({c.mark}): {c.source}" for c in costs),
        leaves_out=ENERGY_LEAVES_OUT,
    )


def _total_pj(placement: Placement, traffic: Traffic, c: Costs, all_active: bool) -> float:
    total = {kind: traffic.total(kind) for kind in ("synops", "within", "crossing", "injected", "hops_x", "hops_y")}
    spikes = sum(int(traffic.events[name]["spikes"].sum()) for name in placement.core_of)
    each = placement.compartments
    updates = sum(each[n] * len(cores) * traffic.events[n]["spikes"].size for n, cores in placement.core_of.items())
    fired = sum(each[n] * int(traffic.events[n]["spikes"].sum()) for n in placement.core_of)
    active = updates if all_active else fired
    messages = total["within"] + total["crossing"] + total["injected"]
    return (
        total["synops"] * c.synop_pj
        + spikes * c.spike_pj
        + messages * c.message_pj
        + total["hops_x"] * c.hop_x_pj
        + total["hops_y"] * c.hop_y_pj
        + active * c.update_active_pj
        + (updates - active) * c.update_inactive_pj
    )


def step_time(placement: Placement, spikes_TBN: Mapping[str, Array]) -> StepTime | None:
    """Return nanoseconds per step, mean and worst; `None` where no constants are published."""
    found = [(c, c.times) for c in placement.chip.costs if c.times is not None]
    if not found:
        return None
    c, times = found[0]
    low, high = [], []
    for synops_TBC in core_synops(placement, spikes_TBN):
        low.append(_slowest(placement, times, synops_TBC, times.update_inactive_ns) + times.barrier_low_ns)
        high.append(_slowest(placement, times, synops_TBC, times.update_active_ns) + times.barrier_high_ns)
    return StepTime(
        low_ns=float(np.concatenate(low, axis=1).mean()),
        high_ns=float(np.concatenate(high, axis=1).mean()),
        worst_ns=max(float(block.max()) for block in high),
        source=f"{c.name} ({c.mark}): {c.source}",
        leaves_out=TIME_LEAVES_OUT,
    )


def _slowest(placement: Placement, times: Times, synops_TBC: Array, update_ns: float) -> NDArray[np.float64]:
    busy = synops_TBC.astype(np.float64) * times.synop_ns + placement.usage["compartments"] * update_ns
    slowest: NDArray[np.float64] = busy.max(axis=2, initial=0.0)
    return slowest
