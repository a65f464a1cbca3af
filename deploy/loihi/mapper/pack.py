"""Which runs share a core: the first with room, where the chip lets populations share one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.lists import Fan
from spikeport.deploy.loihi.mapper.placement import Ints
from spikeport.deploy.loihi.mapper.reach import Reach
from spikeport.deploy.loihi.mapper.settings import settings_used
from spikeport.deploy.loihi.mapper.slices import RESOURCES, Runs, chip_limit

ORDER = (*RESOURCES, "out_axons", "populations", "formats")


def pack(runs: Mapping[str, Runs], fans: Mapping[str, Fan], sent: Mapping[str, Ints], chip: Chip) -> Ints:
    """Return the core of every run, runs in the order of populations and neurons.

    Needs are added up, though runs on one core may share axons: a core never holds more than the sums say. Two runs of
    one population never share a core: they were cut because one core does not hold both.

    Args:
        runs: of every population.
        fans: of every population.
        sent: out-axons of every run, by population.
        chip: its limits.
    """
    rows = [
        np.column_stack(
            (
                r.used,
                sent[name],
                settings_used(fans[name].settings, r.starts),
                np.full_like(sent[name], fans[name].formats),
            )
        )
        for name, r in runs.items()
    ]
    needs = np.concatenate([np.zeros((0, len(ORDER)), np.int64), *rows])
    limits = np.array([chip_limit(chip, name) for name in ORDER], np.int64)
    cores = np.arange(len(needs), dtype=np.int64)
    if chip.limits.populations.value == 1:
        return cores
    held = np.zeros_like(needs)
    owners = np.repeat(np.arange(len(runs)), [len(r.used) for r in runs.values()])
    there = np.zeros((len(runs), len(needs)), np.bool_)
    used = 0
    for i, need in enumerate(needs):
        room = np.all(held[:used] + need <= limits, axis=1) & ~there[owners[i], :used]
        core = int(room.argmax()) if room.any() else used
        used = max(used, core + 1)
        held[core] += need
        there[owners[i], core] = True
        cores[i] = core
    return cores


def out_axons(runs: Mapping[str, Runs], reach: Reach) -> dict[str, Ints]:
    """Return the out-axons of every run, by population; `reach` is of runs, not cores."""
    found = {}
    for name, r in runs.items():
        sent = np.diff(reach[name].indptr) if name in reach else np.zeros(r.size, np.int64)
        found[name] = np.add.reduceat(sent, r.starts).astype(np.int64)
    return found
