"""Networks and recordings for the tests of the audit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import nir
import numpy as np
from export_nets import DT, chain, graph, lif, sink, source

from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.recording import FLOAT32, Recording

F32 = np.float32


def network(seed: int, kind: str = "lif", size: int = 12, inputs: int = 8, beta: float = 0.9) -> ChipGraph:
    """Affine -> cell -> Affine -> LI, with biases, leaks and gains."""
    rng = np.random.default_rng(seed)
    o = np.ones(size)
    r, leak = rng.uniform(0.5, 2, size) / (1 - beta), rng.normal(size=size) * 0.1
    theta, tau = rng.uniform(0.5, 1.5, size), o * DT / (1 - beta)
    if kind == "lif":
        cell: nir.NIRNode = nir.LIF(tau=tau, r=r, v_leak=leak, v_threshold=theta, v_reset=0.1 * leak)
    elif kind == "cuba":
        syn = rng.uniform(2, 5, size) * DT
        cell = nir.CubaLIF(tau_mem=tau, tau_syn=syn, r=r, v_leak=leak, v_threshold=theta, v_reset=0 * o, w_in=2 * o)
    else:
        cell = nir.IF(r=o, v_threshold=3 * theta, v_reset=0 * o)
    nodes = {
        "input": source(inputs),
        "fc": nir.Affine(rng.normal(size=(size, inputs)) * 0.5, rng.normal(size=size) * 0.1),
        "cell": cell,
        "out": nir.Affine(rng.normal(size=(3, size)), rng.normal(size=3)),
        "v": nir.LI(tau=np.full(3, 5 * DT), r=np.ones(3), v_leak=np.zeros(3)),
        "output": sink(3),
    }
    names = list(nodes)
    return graph(nodes, pairwise(names))


def inputs(seed: int, steps: int = 60, batch: int = 4, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed + 1).integers(0, 2, (steps, batch, size)).astype(float)


def in_float32(chip: ChipGraph, x_TBN: np.ndarray, folded: bool, shuffled: bool, leaky_form: bool) -> Recording:
    """The same network in float32, arranged otherwise: a stand-in for other people's simulators."""
    nodes = chip.nodes
    order = np.random.default_rng(7).permutation(x_TBN.shape[2]) if shuffled else np.arange(x_TBN.shape[2])
    fc, cell, out, value = nodes["fc"], nodes["cell"], nodes["out"], nodes["v"]
    tau = getattr(cell, "tau", getattr(cell, "tau_mem", None))
    a = F32(DT) / tau.astype(F32) if tau is not None else None
    weight, bias = fc.weight.astype(F32)[:, order], fc.bias.astype(F32)
    gain = a * cell.r.astype(F32) if a is not None else None
    cuba = isinstance(cell, nir.CubaLIF)
    if folded and gain is not None and not cuba:
        weight, bias, gain = weight * gain[:, None], bias * gain, None
    batch, size = x_TBN.shape[1], len(bias)
    v, i = np.zeros((batch, size), F32), np.zeros((batch, size), F32)
    u = np.zeros((batch, 3), F32)
    b = F32(DT) / value.tau.astype(F32)
    rows: dict[str, list[np.ndarray]] = {"cell": [], "v": []}
    theta, reset = cell.v_threshold.astype(F32), cell.v_reset.astype(F32)
    for x_BN in x_TBN.astype(F32)[:, :, order]:
        drive = np.zeros((batch, size), F32)
        for k in range(x_BN.shape[1]) if shuffled else reversed(range(x_BN.shape[1])):
            drive = drive + x_BN[:, k, None] * weight[:, k]
        drive = drive + bias
        if cuba:
            s = F32(DT) / cell.tau_syn.astype(F32)
            i = (1 - s) * i + (s * cell.w_in.astype(F32)) * drive if folded else i + s * (F32(2) * drive - i)
            drive = i
        drive = drive * gain if gain is not None else drive
        if a is None:
            v = v + drive
        elif leaky_form:
            v = (1 - a) * v + (a * cell.v_leak.astype(F32) + drive)
        else:
            v = v + (a * (cell.v_leak.astype(F32) - v) + drive)
        spikes = v > theta
        v = np.where(spikes, reset, v)
        current = spikes.astype(F32) @ out.weight.astype(F32).T + out.bias.astype(F32)
        u = (1 - b) * u + b * current if leaky_form else u + b * (current - u)
        rows["cell"].append(spikes.astype(np.uint8))
        rows["v"].append(u)
    recorded = {n: np.stack(r) for n, r in rows.items()} | {"output": np.stack(rows["v"])}
    return Recording(recorded, dict.fromkeys(recorded, 0), len(x_TBN), FLOAT32)


def recorded(chip: ChipGraph, x: np.ndarray, u: float | None = FLOAT32) -> Recording:
    made = run(chip, {"input": x})
    return replace(made, unit_roundoff=u)


def near_threshold(gap: float) -> tuple[ChipGraph, np.ndarray]:
    """Every neuron meets `threshold + gap` in every step, from a memoryless membrane."""
    chip = chain((4,), lif(4, a=1.0, theta=1.0))
    return chip, np.full((10, 3, 4), 1.0 + gap)


def delayed(made: Recording, steps: dict[str, int]) -> Recording:
    most = max(steps.values())
    nodes = {}
    for name, value in made.nodes.items():
        padded = np.zeros((len(value) + most, *value.shape[1:]), value.dtype)
        padded[steps[name] : steps[name] + len(value)] = value
        nodes[name] = padded
    return replace(made, nodes=nodes, latency_steps=steps)


def two_layers() -> tuple[ChipGraph, np.ndarray]:
    nodes = {"input": source(3), "first": lif(3, a=1.0, theta=0.5), "last": lif(3, a=1.0, theta=0.5), "output": sink(3)}
    chip = graph(nodes, [("input", "first"), ("first", "last"), ("last", "output")])
    return chip, np.random.default_rng(0).integers(0, 2, (20, 6, 3)).astype(float)
