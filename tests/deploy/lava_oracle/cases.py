"""Random networks for Lava and the engine, and the count of what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from integer_nets import IntegerCase, Maker, integer_case

from lava_oracle import GRADED, Job, Seen, Wire, run_lava
from spikeport.deploy.linear import unroll
from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Records, Synapses
from spikeport.deploy.loihi.weights import stored_weights

STEPS = 64


def random_job(seed: int) -> tuple[IntegerCase, Job]:
    """Return one of `integer_case`'s networks and how Lava is to build it."""
    case = integer_case(seed, STEPS)
    rng = np.random.default_rng([seed, 1])
    wires = tuple(_wire(case, synapses, rng) for synapses in case.network.synapses)
    return case, job_of(case, wires)


def _wire(case: IntegerCase, synapses: Synapses, rng: np.random.Generator) -> Wire:
    must_count = "graded" in case.features and synapses.source in case.network.inputs
    kind = str(rng.choice(["dense", "sparse"]))
    if synapses.wait and rng.random() < 0.5:
        kind = "delay"
    case.features |= {kind}
    if rng.random() < 0.7:
        return Wire(kind, GRADED if must_count or rng.random() < 0.3 else 0)
    case.features |= {"weight bits"}
    sign = rng.choice(["mixed", "excitatory", "inhibitory"]) if rng.random() < 0.5 else None
    return Wire(kind, GRADED if must_count else 0, int(rng.integers(1, 8)), sign)


def job_of(case: IntegerCase, wires: Sequence[Wire], monitored: Sequence[tuple[str, str]] = ()) -> Job:
    """Return the job of a case's first sample."""
    return Job(case.network, {name: x[:, 0] for name, x in case.inputs.items()}, wires, STEPS, monitored)


def as_stored(job: Job) -> IntegerNetwork:
    """Return the job's network with the weights that Lava keeps; its Conv keeps all."""
    kept = [
        synapses
        if wire.kind == "conv"
        else replace(synapses, weight=stored_weights(synapses.weight, wire.weight_bits, wire.sign))
        for synapses, wire in zip(job.network.synapses, job.wires, strict=True)
    ]
    return replace(job.network, synapses=tuple(kept))


def engine_run(case: IntegerCase, network: IntegerNetwork) -> Records:
    """Return all that the engine does with `network` on the case's inputs."""
    names = [population.name for population in network.populations]
    return Engine(network, 1).run(case.inputs, STEPS, u=names, v=names)


def differences(ours: Records, theirs: Seen) -> tuple[int, int]:
    """Return how many entries of u, v and s differ, and how many were compared."""
    wrong = entries = 0
    for got, expected in ((ours.u, theirs.u), (ours.v, theirs.v), (ours.spikes, theirs.s)):
        for name, values in expected.items():
            wrong += int(np.sum(got[name].reshape(values.shape) != values))
            entries += values.size
    return wrong, entries


def compare(jobs: Sequence[tuple[IntegerCase, Job]], folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Run all on both sides in `folder`; return sums (entries, wrong, spikes, wraps, saturations) and features."""
    sums: Counter[str] = Counter()
    features: Counter[str] = Counter()
    for (case, job), seen in zip(jobs, run_lava([job for _, job in jobs], folder), strict=True):
        ours = engine_run(case, as_stored(job))
        wrong, entries = differences(ours, seen)
        sums.update(networks=1, wrong=wrong, entries=entries)
        sums.update(wraps=sum(ours.wraps.values()), saturations=sum(ours.saturations.values()))
        sums.update(spikes=sum(int(s.sum()) for s in seen.s.values()))
        features.update(case.features)
    return sums, features


def conv_job(seed: int, weight_exp: int = 0) -> tuple[IntegerCase, Job]:
    """Return two layers of feature maps and a dense one, for Lava's Conv processes."""
    rng = np.random.default_rng([seed, 2])
    maker = Maker(seed, extensions=False)
    image = (2 * int(rng.integers(1, 3)), *(int(n) for n in rng.integers(6, 10, 2)))
    sizes, wires, source = {"x": image}, [], "x"
    graded = bool(rng.random() < 0.3)
    for name in ("maps", "maps2"):
        before = sizes[source]
        groups = int(rng.choice([1, 2]))
        kernel, stride, padding, dilation, out = _geometry(rng, before[1:])
        kernels = maker.weights((2 * int(rng.integers(1, 4)), before[0] // groups, *kernel))
        target = maker.population(name, (len(kernels), *out))
        pads = ((padding[0], padding[0]), (padding[1], padding[1]))
        matrix = unroll(kernels.astype(np.float64), groups, tuple(stride), tuple(dilation), pads, before, target.shape)
        maker.add(source, target, matrix, weight_exp)
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "image": before}
        bits = GRADED if graded and source == "x" else 0
        wires.append(Wire("conv", bits, conv=settings | {"kernels": kernels.astype(np.int32)}))
        sizes[name], source = target.shape, name
    target = maker.population("dense", (10,))
    maker.connect(source, int(np.prod(sizes[source])), target)
    network = IntegerNetwork({"x": image}, tuple(maker.populations), tuple(maker.synapses))
    spikes = rng.random((STEPS, 1, *image)) < 0.3
    x = spikes * (rng.integers(-100, 100, spikes.shape) if graded else 1)
    case = IntegerCase(network, {"x": x.astype(np.int64)}, maker.features)
    return case, job_of(case, (*wires, Wire("sparse")))


def _geometry(rng: np.random.Generator, size: Sequence[int]) -> list[list[int]]:
    """Return kernel, stride, padding, dilation and the output's size, each height and width; drawn until they fit."""
    while True:
        kernel, stride, padding, dilation = (rng.integers(*span, 2) for span in ((1, 4), (1, 3), (0, 2), (1, 3)))
        out = (np.array(size) + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        if out.min() >= 1:
            return [drawn.tolist() for drawn in (kernel, stride, padding, dilation, out)]
