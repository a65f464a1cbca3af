"""Placing a network on a chip's cores: which neurons lie where, or the first limit that breaks.

Populations are cut, in order, into the longest runs of neurons that fit a core. A run gets the first core that has
room where the chip lets populations share one, else a core of its own. Greedy, not optimal: fewer cores may do.
Synapses are counted unrolled, also those of convolutions, whose kernels a chip may be able to share: an upper bound.
Axons of inputs are counted where they arrive; what sends them is not on the chip. What a reset takes that is not to
zero stands in `resets.py`, what neurons take that differ in `settings.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.engine import IntegerNetwork
from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.lists import Connection, Fan, connections_of, fan_of, sizes_of
from spikeport.deploy.loihi.mapper.pack import out_axons, pack
from spikeport.deploy.loihi.mapper.placement import Breach, Ints, Placement, Slice, UnplacedError
from spikeport.deploy.loihi.mapper.reach import Reach, over_cores, reach_of
from spikeport.deploy.loihi.mapper.resets import compartments_of, feedback_of
from spikeport.deploy.loihi.mapper.settings import settings_of, settings_used, starts_by_setting
from spikeport.deploy.loihi.mapper.slices import RESOURCES, Runs, chip_limit, cut, starts_by_sum

ADVICE = {
    "compartments": "Use a reset to zero, which takes one compartment a neuron",
    "in_axons": "A fan-in of at most {available} distinct sources fits: use fewer channels or a smaller kernel",
    "synapse_words": "A neuron's lists must fit {available} words, one for each source at least: reduce its fan-in",
}


def place(network: IntegerNetwork, chip: Chip, chips: int = 1) -> Placement:
    """Place `network` on `chips` chips.

    Raises:
        UnplacedError: it does not fit; the first limit that breaks, in the order of the populations.
    """
    connections = connections_of(network) + feedback_of(network, chip)
    sizes = sizes_of(network)
    for c in connections:
        _check_format(c, chip)
    fans = {
        p.name: replace(
            fan_of(p.name, p.size, connections, sizes, chip.memory),
            compartments=compartments_of(p, chip),
            settings=settings_of(p, chip),
        )
        for p in network.populations
    }
    for name, fan in fans.items():
        _check_formats(name, fan, chip)
    runs, reach = _runs(fans, connections, chip)
    cores = pack(runs, fans, out_axons(runs, reach), chip)
    if (used := int(cores.max(initial=-1)) + 1) > chips * chip.cores:
        raise UnplacedError(_too_many(runs, cores, used, chip, chips), chip.title)
    return _placement(chip, chips, runs, fans, cores, reach)


def _check_format(c: Connection, chip: Chip) -> None:
    layer, limits = c.target, chip.limits
    if limits.weight_bits.value is not None and c.weight_bits > limits.weight_bits.value:
        breach = Breach(
            "weight_bits", layer, c.weight_bits, limits.weight_bits.value, limits.weight_bits.unit,
            f"weights from '{c.source}' need", "Quantise to even weights, or to fewer bits",
        )  # fmt: skip
        raise UnplacedError(breach, chip.title)
    if limits.delay_steps.value is not None and c.wait > limits.delay_steps.value:
        breach = Breach(
            "delay_steps", layer, c.wait, limits.delay_steps.value, limits.delay_steps.unit,
            f"the connection from '{c.source}' waits", "Shorten the delay, or put relay neurons in between",
        )  # fmt: skip
        raise UnplacedError(breach, chip.title)


def _check_formats(name: str, fan: Fan, chip: Chip) -> None:
    if fan.formats > (limit := chip_limit(chip, "formats")):
        breach = Breach(
            "formats", name, fan.formats, limit, chip.limits.formats.unit, "its connections have",
            "Give its sources the same weight exponent and delay",
        )  # fmt: skip
        raise UnplacedError(breach, chip.title)


def _runs(fans: Mapping[str, Fan], connections: Sequence[Connection], chip: Chip) -> tuple[dict[str, Runs], Reach]:
    """Return how every population is cut, and what reaches the runs.

    A population is cut again where its axons out of a core are too many. That makes more runs that its sources
    send to, so it ends only where nothing is cut any more.
    """
    most = chip_limit(chip, "populations")
    forced = {name: starts_by_setting(fan.settings, most) for name, fan in fans.items()}
    runs: dict[str, Runs] = {}
    reach: Reach = {}
    todo = set(fans)
    while todo:
        for name in fans:
            if name in todo:
                runs[name] = cut(fans[name], forced[name], chip)
                if runs[name].stuck >= 0:
                    raise UnplacedError(_stuck(name, runs[name], chip), chip.title)
        reach = reach_of(connections, {name: r.starts for name, r in runs.items()})
        todo = {name for name in reach if name in runs and _cut_by_out_axons(name, runs[name], forced, reach, chip)}
    return runs, reach


def _cut_by_out_axons(name: str, runs: Runs, forced: Mapping[str, NDArray[np.bool_]], reach: Reach, chip: Chip) -> bool:
    """Add to `forced` the neurons where out-axons end a run; return whether there are new ones."""
    limit = chip_limit(chip, "out_axons")
    forced[name][runs.starts] = True
    sent = np.diff(reach[name].indptr).astype(np.int64)
    starts = np.zeros(len(sent), np.bool_)
    if (stuck := starts_by_sum(sent, forced[name], limit, starts)) >= 0:
        breach = Breach(
            "out_axons", name, int(sent[stuck]), limit, chip.limits.out_axons.unit,
            f"neuron {stuck} alone sends to", "Shrink the layers that it feeds, so that they fill fewer cores",
        )  # fmt: skip
        raise UnplacedError(breach, chip.title)
    new = bool(np.any(starts & ~forced[name]))
    forced[name] |= starts
    return new


def _labels(runs: Mapping[str, Runs]) -> dict[str, Ints]:
    """Return the run of every neuron, numbered over all populations."""
    labels, first = {}, 0
    for name, r in runs.items():
        labels[name] = np.repeat(np.arange(first, first + len(r.starts)), r.neurons)
        first += len(r.starts)
    return labels


def _stuck(name: str, runs: Runs, chip: Chip) -> Breach:
    limit = RESOURCES[runs.breaks]
    available = chip_limit(chip, limit)
    fits = ADVICE[limit].format(available=available)
    unit = getattr(chip.limits, limit).unit
    return Breach(limit, name, runs.needed, available, unit, f"neuron {runs.stuck} alone needs", fits)


def _too_many(runs: Mapping[str, Runs], cores: Ints, used: int, chip: Chip, chips: int) -> Breach:
    available = chips * chip.cores
    first = int((cores >= available).argmax())
    layer = next(name for name, labels in _labels(runs).items() if labels[-1] >= first)
    return Breach(
        "cores", layer, used, available, "cores", "it is the first beyond the last core, and the network needs",
        f"{-(-used // chip.cores)} chips would hold it",
    )  # fmt: skip


def _placement(
    chip: Chip, chips: int, runs: Mapping[str, Runs], fans: Mapping[str, Fan], cores: Ints, over_runs: Reach
) -> Placement:
    core_of = {name: cores[labels] for name, labels in _labels(runs).items()}
    used = int(cores.max(initial=-1)) + 1
    reach = over_cores(over_runs, cores, used)
    usage = {
        name: _sum_by(cores, _joined([r.used[:, RESOURCES.index(name)] for r in runs.values()]), used)
        for name in ("compartments", "synapse_words")
    }
    usage["in_axons"] = _sum([np.bincount(r.indices, minlength=used) for r in reach.values()], used)
    sent = [_sum_by(core_of[n], np.diff(r.indptr), used) for n, r in reach.items() if n in core_of]
    usage["out_axons"] = _sum(sent, used)
    held = [settings_used(fans[name].settings, r.starts) for name, r in runs.items()]
    usage["populations"] = _sum_by(cores, _joined(held), used)
    formats = [fans[name].formats for name, r in runs.items() for _ in r.starts]
    usage["formats"] = _sum_by(cores, np.array(formats, np.int64), used)
    usage["synapses"] = _sum([np.asarray(r.sum(axis=0), np.int64) for r in reach.values()], used)
    compartments = {name: fan.compartments for name, fan in fans.items()}
    return Placement(chip, chips, tuple(_slices(runs, cores)), usage, core_of, compartments, reach)


def _slices(runs: Mapping[str, Runs], cores: Ints) -> Iterator[Slice]:
    i = 0
    for name, r in runs.items():
        for start, neurons in zip(r.starts.tolist(), r.neurons.tolist(), strict=True):
            yield Slice(name, start, start + neurons, int(cores[i]))
            i += 1


def _joined(rows: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *rows])


def _sum(rows: Sequence[Ints], cores: int) -> Ints:
    total: Ints = np.sum(np.array([np.zeros(cores, np.int64), *rows]), axis=0, dtype=np.int64)
    return total


def _sum_by(cores: Ints, values: Ints, count: int) -> Ints:
    total = np.zeros(count, np.int64)
    np.add.at(total, cores, values)
    return total
