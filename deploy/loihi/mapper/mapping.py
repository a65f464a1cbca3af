"""A quantised network on a chip, in one block: the placement, or the first limit that breaks, and what spikes do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.engine import IntegerNetwork
from spikeport.deploy.loihi.mapper.blocks import (
    BreachBlock,
    ChipMapping,
    CoreBlock,
    LayerTraffic,
    LimitBlock,
    MeshBlock,
)
from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.cost import energy, step_time
from spikeport.deploy.loihi.mapper.place import place
from spikeport.deploy.loihi.mapper.placement import USAGE, Breach, Placement, UnplacedError
from spikeport.deploy.loihi.mapper.resets import assumptions_of
from spikeport.deploy.loihi.mapper.settings import setting_assumptions
from spikeport.deploy.loihi.mapper.traffic import KINDS, Traffic, traffic

Array = NDArray[np.generic]

ASSUMPTIONS = (
    "synapses are counted unrolled, an upper bound: a chip may share the kernels of a convolution",
    "placed greedily in the order of the layers, not optimally",
    "a spike sends one message to each core that holds a target of it; a core's tile and a message's way are assumed",
)


def map_network(
    network: IntegerNetwork, chip: Chip, stage: str, weights: int, spikes_TBN: Mapping[str, Array] | None
) -> ChipMapping:
    """Place `network` on `chip` and count what recorded spikes do there.

    A network that needs more cores than one chip has is shown on as many chips as it needs, and said not to fit.

    Args:
        network: the stage in integers.
        chip: where.
        stage: its name.
        weights: stored in the stage's graph.
        spikes_TBN: [T, B, *shape] of every input and population, `None` where nothing was recorded.
    """
    placement, breach = _placed(network, chip)
    breach = breach or _payload(network, chip, spikes_TBN or {})
    counted = traffic(placement, spikes_TBN) if placement and spikes_TBN else None
    priced = energy(placement, counted) if placement and counted else None
    timed = step_time(placement, spikes_TBN) if placement and spikes_TBN else None
    unknown = "nothing was run" if placement else "the network could not be placed"
    missing = {} if counted else {"traffic": unknown}
    missing |= {} if priced else {"energy": str(chip.no_costs) if counted else unknown}
    missing |= {} if timed else {"time": str(chip.no_times) if counted else unknown}
    limits = {name: getattr(chip.limits, name) for name in USAGE}
    return ChipMapping(
        chip=chip.name,
        title=chip.title,
        stage=stage,
        fits=breach is None,
        breach=None if breach is None else BreachBlock(**asdict(breach)),
        chips=placement.chips if placement else 0,
        cores_per_chip=chip.cores,
        mesh=MeshBlock(columns=chip.mesh.columns, rows=chip.mesh.rows, cores_per_tile=chip.mesh.cores_per_tile),
        limits={name: LimitBlock(**asdict(limit)) for name, limit in limits.items()},
        neurons=sum(p.size for p in network.populations),
        synapses=network.synapse_count,
        weights=weights,
        cores=_cores(placement) if placement else (),
        traffic=None if counted is None else {name: _per_sample(counted, name) for name in counted.events},
        energy=priced,
        time=timed,
        assumptions=(
            *ASSUMPTIONS,
            f"memory: {chip.memory.source} ({chip.memory.mark})",
            *assumptions_of(network, chip),
            *setting_assumptions(network, chip),
        ),
        missing=missing,
    )


def _placed(network: IntegerNetwork, chip: Chip) -> tuple[Placement | None, Breach | None]:
    try:
        return place(network, chip), None
    except UnplacedError as error:
        if error.breach.limit != "cores":
            return None, error.breach
        return place(network, chip, chips=-(-error.breach.needed // chip.cores)), error.breach


def _payload(network: IntegerNetwork, chip: Chip, spikes_TBN: Mapping[str, Array]) -> Breach | None:
    """Return the breach of an input whose values the chip's spikes cannot carry."""
    limit = chip.limits.payload
    for name in network.inputs:
        x = spikes_TBN.get(name)
        largest = 0 if x is None else int(np.max(np.abs(x), initial=0))
        negative = x is not None and float(np.min(x.astype(np.float64), initial=0)) < 0
        if limit.value is not None and (largest > limit.value or (negative and limit.value == 1)):
            return Breach(
                "payload", name, largest, limit.value, limit.unit, "its values go up to",
                "Encode the input as spikes before the chip, or take a chip with graded spikes",
            )  # fmt: skip
    return None


def _cores(placement: Placement) -> tuple[CoreBlock, ...]:
    layers: list[dict[str, int]] = [{} for _ in range(placement.cores)]
    for s in placement.slices:
        layers[s.core][s.population] = layers[s.core].get(s.population, 0) + s.last - s.first
    usage = {name: rows.tolist() for name, rows in placement.usage.items()}
    return tuple(
        CoreBlock(core=i, layers=layers[i], usage={name: rows[i] for name, rows in usage.items()})
        for i in range(placement.cores)
    )


def _per_sample(counted: Traffic, name: str) -> LayerTraffic:
    of = counted.events[name]
    samples = of["spikes"].shape[1]
    return LayerTraffic(**{kind: int(of[kind].sum()) / samples for kind in KINDS})
