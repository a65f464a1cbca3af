"""Lava's own processes as the oracle of the integer engine: networks go out as files, u, v and s come back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.isolated import RUN_TIMEOUT_S
from spikeport.deploy.lava.program import ENVIRONMENT
from spikeport.deploy.loihi.engine import IntegerNetwork, Population, Synapses

Ints = NDArray[np.int64]
WORKER = Path(__file__).parent / "worker.py"
GRADED = 24
"""Message bits of numbers; Lava's processor models ask no more than whether there are any."""


@dataclass(frozen=True)
class Wire:
    """How Lava is to build one of a network's synapses.

    Attributes:
        kind: `dense`, `sparse`, `delay` (DelayDense, for `wait`) or `conv`.
        message_bits: 0 for spikes.
        weight_bits: of the stored weights.
        sign: `mixed`, `excitatory`, `inhibitory`, or `None`: Lava sees for itself.
        conv: for `conv`: kernels [C_out, C_in / groups, height, width] and Conv's settings.
    """

    kind: str = "dense"
    message_bits: int = 0
    weight_bits: int = 8
    sign: str | None = None
    conv: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A network for Lava, with one sample's inputs [T, *shape] and a wire for each of its synapses."""

    network: IntegerNetwork
    inputs: Mapping[str, Ints]
    wires: Sequence[Wire]
    steps: int
    monitored: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Seen:
    """What Lava did: u, v and s of each population [steps, N], and what its monitors saw."""

    u: dict[str, Ints]
    v: dict[str, Ints]
    s: dict[str, Ints]
    monitored: dict[tuple[str, str], Ints]


def run_lava(jobs: Sequence[Job], folder: Path, timeout_s: float = RUN_TIMEOUT_S) -> list[Seen]:
    """Return what Lava makes of every job, run in the isolated environment."""
    arrays: dict[str, NDArray[np.generic]] = {}
    networks = [_network(f"net{i}", job, arrays) for i, job in enumerate(jobs)]
    (folder / "networks.json").write_text(json.dumps(networks), "utf-8")
    np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
    ENVIRONMENT.run(WORKER, folder, timeout_s)
    return [_seen(folder, f"net{i}", job) for i, job in enumerate(jobs)]


def _network(name: str, job: Job, arrays: dict[str, NDArray[np.generic]]) -> dict[str, Any]:
    inputs = {}
    for source, values in job.inputs.items():
        inputs[source] = f"{name}-{source}"
        sent = np.zeros((job.steps, values[0].size), dtype=np.int32)
        sent[: len(values)] = values.reshape(len(values), -1)[: job.steps]
        arrays[inputs[source]] = sent.T
    wired = zip(job.network.synapses, job.wires, strict=True)
    return {
        "name": name,
        "steps": job.steps,
        "inputs": inputs,
        "populations": [_population(name, population, arrays) for population in job.network.populations],
        "synapses": [_synapses(f"{name}-synapses{i}", s, wire, arrays) for i, (s, wire) in enumerate(wired)],
        "monitored": list(job.monitored),
    }


def _population(name: str, population: Population, arrays: dict[str, NDArray[np.generic]]) -> dict[str, Any]:
    record = f"{name}-{population.name}"
    arrays[record] = population.bias_mant
    return {
        "name": population.name,
        "du": population.du,
        "dv": population.dv,
        "vth": population.vth_mant,
        "bias": record,
        "bias_exp": population.bias_exp,
        "record": f"{record}.npy",
    }


def _synapses(name: str, synapses: Synapses, wire: Wire, arrays: dict[str, NDArray[np.generic]]) -> dict[str, Any]:
    settings = dict(wire.conv)
    arrays[name] = settings.pop("kernels") if settings else synapses.weight.toarray().astype(np.int32)
    told = asdict(wire) | {"source": synapses.source, "target": synapses.target, "weight_exp": synapses.weight_exp}
    del told["conv"]
    delay = {"wait": 0, "delay": synapses.wait} if wire.kind == "delay" else {"wait": synapses.wait}
    return told | settings | delay | {"weight": name}


def _seen(folder: Path, name: str, job: Job) -> Seen:
    rows = {p.name: np.load(folder / f"{name}-{p.name}.npy") for p in job.network.populations}
    u, v, s = ({n: x[:, i].astype(np.int64) for n, x in rows.items()} for i in range(3))
    monitored = {(n, x): np.load(folder / f"{name}-{n}-{x}.npy").astype(np.int64) for n, x in job.monitored}
    return Seen(u, v, s, monitored)
