"""What neurons take on a chip whose decays and thresholds differ within a population.

A chip whose neurons read their parameters from their own memory takes any. One that keeps a few settings a core and
lets neurons choose among them cuts such a population where a core's settings are used up: each distinct pair of decays
and threshold counts as one of `populations`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.engine import IntegerNetwork, Population
from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.placement import Ints


def settings_of(population: Population, chip: Chip) -> Ints:
    """Return the number of each neuron's setting on `chip`, [N]; one for all where they share it or need none."""
    if not chip.settings.counted:
        return np.zeros(population.size, np.int64)
    each = [np.broadcast_to(x, population.size) for x in (population.du, population.dv, population.vth_mant)]
    return np.unique(np.column_stack(each), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def starts_by_setting(settings: Ints, limit: int) -> NDArray[np.bool_]:
    """Return where runs of at most `limit` distinct settings begin."""
    starts = np.zeros(len(settings), np.bool_)
    held: set[int] = set()
    for neuron, setting in enumerate(settings.tolist()):
        if setting not in held and len(held) == limit:
            starts[neuron] = True
            held = set()
        held.add(setting)
    return starts


def settings_used(settings: Ints, starts: Ints) -> Ints:
    """Return how many distinct settings each run holds."""
    return np.array([np.unique(part).size for part in np.split(settings, starts[1:])], np.int64)


def setting_assumptions(network: IntegerNetwork, chip: Chip) -> Sequence[str]:
    """Return what was taken for every population whose decays or thresholds differ, in words."""
    found = []
    for p in network.populations:
        if unlike := [name for name in p.unlike if name != "reset_by"]:
            what = f"layer '{p.name}', {', '.join(unlike)} of every neuron's own"
            found.append(f"{what}: {chip.settings.source} ({chip.settings.mark})")
    return found
