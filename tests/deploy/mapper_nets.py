"""Small chips, small networks, and a placement's meaning spelled out event by event."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.sparse import csr_array

from spikeport.deploy.loihi.engine import IntegerNetwork, Population, Synapses
from spikeport.deploy.loihi.mapper.chip import Chip, Costs, Mesh, Times, load
from spikeport.deploy.loihi.mapper.place import place
from spikeport.deploy.loihi.mapper.placement import Placement, UnplacedError
from spikeport.deploy.stage import ONE

COSTS = Costs("test", "published", "a test", 100.0, 10.0, 1.0, 1000.0, 0.5, 0.25, 0.125, Times(2.0, 3.0, 1.0, 7.0, 9.0))


def chip(**limits: int | None) -> Chip:
    """Loihi 1's rules with some limits changed, and a mesh of 2 x 2 tiles of 2 cores."""
    one = load("loihi1")
    changed = {name: replace(getattr(one.limits, name), value=value) for name, value in {"cores": 8, **limits}.items()}
    return replace(one, limits=replace(one.limits, **changed), mesh=Mesh(2, 2, 2, "inferred", "a test"), costs=(COSTS,))


def population(name: str, size: int, **more: object) -> Population:
    return Population(name, (size,), 4095, 200, 100, np.zeros(size, np.int32), **more)  # type: ignore[arg-type]


def connect(source: str, target: str, weight: object, **more: int) -> Synapses:
    return Synapses(source, target, csr_array(np.asarray(weight)), **more)


def dense(inputs: int, neurons: int, weight: int = 254) -> IntegerNetwork:
    """Every input to every neuron."""
    synapses = connect("x", "n", np.full((neurons, inputs), weight))
    return IntegerNetwork({"x": (inputs,)}, (population("n", neurons),), (synapses,))


def placed_or_refused(network: IntegerNetwork, on: Chip) -> Placement | UnplacedError:
    """Place on as many chips as it takes."""
    try:
        return place(network, on, chips=1000)
    except UnplacedError as error:
        return error


FEEDBACK = -2


def edges(network: IntegerNetwork, feedback: bool = False) -> list[tuple[int, str, int, str, int]]:
    """Return (connection, source, element, target, neuron) of every synapse, those of resets with `feedback`."""
    found = []
    for i, s in enumerate(network.synapses):
        weight = s.weight.tocoo()
        found += [(i, s.source, int(c), s.target, int(r)) for r, c in zip(*weight.coords, strict=True)]
    for p in network.populations:
        if p.constant is not None:
            found += [(-1, ONE, 0, p.name, int(n)) for n in np.flatnonzero(p.constant)]
        if feedback and np.any(p.reset_by):
            found += [(FEEDBACK, p.name, n, p.name, n) for n in range(p.size)]
    return found


def with_small_resets(network: IntegerNetwork) -> IntegerNetwork:
    """Hold what resets take off to what one of Loihi 1's synapses can."""
    small = [replace(p, reset_by=min(p.reset_by, 255 << 13)) for p in network.populations]
    return replace(network, populations=tuple(small))


def where(placement: Placement) -> dict[tuple[str, int], int]:
    """Return the core of every neuron, from the slices alone."""
    found: dict[tuple[str, int], int] = {}
    for s in placement.slices:
        for n in range(s.first, s.last):
            assert (s.population, n) not in found, "a neuron lies on two cores"
            found[s.population, n] = s.core
    return found


def walk(placement: Placement, network: IntegerNetwork, spikes: dict[str, np.ndarray]) -> dict[str, Counter]:
    """Count the events of every spike, one after the other, by kind and (source, step, sample)."""
    core = where(placement)
    targets: dict[tuple[str, int], list[int]] = {}
    for _, source, element, target, neuron in edges(network, feedback=True):
        targets.setdefault((source, element), []).append(core[target, neuron])
    steps, samples = next(iter(spikes.values())).shape[:2]
    flat = {name: x.reshape(steps, samples, -1) for name, x in spikes.items()}
    if any(source == ONE for source, _ in targets):
        flat[ONE] = np.ones((steps, samples, 1))
        flat[ONE][0] = 0
    counted: dict[str, Counter] = {}
    for name, x in flat.items():
        for t, b, element in product(*map(range, x.shape)):
            if x[t, b, element]:
                _spike(
                    counted, placement.chip, (name, t, b), core.get((name, element)), targets.get((name, element), [])
                )
    return counted


def _spike(
    counted: dict[str, Counter], on: Chip, key: tuple[str, int, int], here: int | None, cores: list[int]
) -> None:
    def add(kind: str, amount: int = 1) -> None:
        counted.setdefault(kind, Counter())[key] += amount

    add("spikes")
    for _ in cores:
        add("synops")
    for there in set(cores):
        if here is None:
            add("injected")
        elif here == there:
            add("within")
        else:
            add("crossing")
            if here // on.cores != there // on.cores:
                add("between_chips")
            else:
                (x0, y0), (x1, y1) = tile(here, on), tile(there, on)
                add("hops_x", abs(x0 - x1))
                add("hops_y", abs(y0 - y1))


def tile(core: int, on: Chip) -> tuple[int, int]:
    number = (core % on.cores) // on.mesh.cores_per_tile
    return number // on.mesh.rows, number % on.mesh.rows
