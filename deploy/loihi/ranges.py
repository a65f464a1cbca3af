"""How large u and v may get: what samples showed with headroom, at most the worst case.

The worst case: |u| <= sum of |W| max|x| / du and |v| <= (max |u| + |b|) / dv, and further below 0 by what a spike takes
off. Without leak v has none; there 8 steps' drive stand in for it until samples say more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.backend import Inputs
from spikeport.deploy.hops import RefusedError
from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.room import input_scale, taken_off
from spikeport.deploy.stage import HopStage, Layer
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import Interpreter, check_inputs
from spikeport.export.neurons import Array, Comparator, Spikes

SAMPLES = 64
"""Samples that are measured, at most."""
HEADROOM = 2.0
"""How far beyond the samples' largest |u| and |v| a layer may go before it wraps or saturates."""
_UNLEAKY_STEPS = 8
_TINY = 1e-9


@dataclass(frozen=True)
class Observed:
    """What the float network did on the samples that were measured.

    Attributes:
        inputs: [T, B, *shape] by input.
        spikes: [T, B, *shape] of 0 and 1, by layer that spikes.
    """

    inputs: Mapping[str, Array]
    spikes: Mapping[str, Spikes]


@dataclass(frozen=True)
class Ranges:
    """Largest magnitudes to make room for, in the unit of v.

    Attributes:
        u: by layer, of the synaptic state.
        v: by layer, of the membrane before its reset; the threshold at least.
        seen: by layer, the largest |v| on the samples; empty without samples.
        input_scales: for each input that is not whole numbers, the integer sent for 1.
        input_limits: by input, the largest magnitude that the rest holds for.
        observed: what was measured, `None` without samples.
    """

    u: Mapping[str, float]
    v: Mapping[str, float]
    seen: Mapping[str, float]
    input_scales: Mapping[str, float]
    input_limits: Mapping[str, float]
    observed: Observed | None = None

    def input_scale(self, source: str) -> float:
        """Return the integer that `source` sends for 1."""
        return self.input_scales.get(source, 1.0)


def unlimited(stage: HopStage) -> Ranges:
    """Return ranges that limit nothing, for what can be said without samples."""
    names = [layer.name for layer in stage.layers]
    return Ranges(dict.fromkeys(names, _TINY), {x.name: _least(x) for x in stage.layers}, {}, {}, {})


def observe(graph: ChipGraph, stage: HopStage, calibration: Inputs | None) -> Ranges:
    """Return the ranges of `stage` on `calibration`; the worst case for inputs of 0 and 1 without it.

    Raises:
        RefusedError: an input's values do not fit the payload, or the states leave a graded one no levels.
    """
    if calibration is None:
        worst_u, worst_v = _worst(stage, {})
        return Ranges(worst_u, worst_v, {}, {}, dict.fromkeys(stage.inputs, 1.0))
    arrays = {n: x[:, :SAMPLES] for n, x in check_inputs(graph, calibration).items()}
    largest = {name: float(np.max(np.abs(x))) for name, x in arrays.items()}
    for name, size in largest.items():
        if size > limits.PAYLOAD_MAX / 2:
            reason = f"a message carries at most {limits.PAYLOAD_MAX}"
            raise RefusedError(name, f"input up to {size:g}", reason, "Scale the input down")
    graded = [name for name, x in arrays.items() if not np.all(x == np.rint(x))]
    # Counts of events may be higher in other samples, spikes may not, even where these samples were silent.
    limit = {name: 1.0 if size <= 1 and name not in graded else size * HEADROOM for name, size in largest.items()}
    worst_u, worst_v = _worst(stage, limit)
    seen_u, seen_v, spikes = _measure(graph, stage, arrays)
    u = {n: max(min(HEADROOM * seen_u[n], worst_u[n]), _TINY) for n in worst_u}
    v = {}
    for layer in stage.layers:
        top = worst_v[layer.name] if np.all(layer.cell.dv_N) else np.inf
        v[layer.name] = max(_least(layer), min(HEADROOM * seen_v[layer.name], top))
    scales = {name: input_scale(stage, name, graded, limit[name], u, v) for name in graded}
    return Ranges(u, v, seen_v, scales, limit, Observed(arrays, spikes))


def _least(layer: Layer) -> float:
    """A membrane reaches its threshold at least, and below 0 what a spike takes off it."""
    return float(np.max(_least_of_each(layer)))


def _least_of_each(layer: Layer) -> Array:
    """Return what counts as much for each neuron, [N]."""
    spiking = layer.cell.emits == "spikes"
    return np.maximum(layer.cell.threshold_N, taken_off(layer.cell)) if spiking else np.full(len(layer.bias), _TINY)


def _worst(stage: HopStage, largest: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    u: dict[str, float] = {}
    v: dict[str, float] = {}
    for layer in stage.layers:
        drive_N, dv_N = _drive(stage, layer, largest) / layer.cell.du_N, layer.cell.dv_N
        step_N = drive_N + np.abs(layer.bias)
        u[layer.name] = max(float(np.max(drive_N, initial=0.0)), _TINY)
        unleaky_N = _UNLEAKY_STEPS * (step_N + _least_of_each(layer))
        leaky_N = taken_off(layer.cell) + step_N / np.where(dv_N > 0, dv_N, 1.0)
        v[layer.name] = max(_least(layer), float(np.max(np.where(dv_N > 0, leaky_N, unleaky_N), initial=0.0)))
    return u, v


def _drive(stage: HopStage, layer: Layer, largest: Mapping[str, float]) -> NDArray[np.float64]:
    drive = np.zeros(len(layer.bias))
    for hop in stage.hops:
        if hop.target == layer.name:
            drive += np.asarray(abs(hop.weight).sum(axis=1)).ravel() * largest.get(hop.source, 1.0)
    return drive


def _measure(
    graph: ChipGraph, stage: HopStage, arrays: Mapping[str, Array]
) -> tuple[dict[str, float], dict[str, float], dict[str, Spikes]]:
    """Return the largest |u| and |v| (before resets) and the spikes of every layer on the samples.

    u is what is left of `v[t] = (1 - dv) v[t-1] + u[t] + bias`.
    """
    u, v = ({layer.name: 0.0 for layer in stage.layers} for _ in range(2))
    first = next(iter(arrays.values()))
    spiking = [layer for layer in stage.layers if layer.cell.emits == "spikes"]
    spikes = {layer.name: np.zeros((*first.shape[:2], *layer.shape), np.uint8) for layer in spiking}
    fired: dict[str, Array] = {}

    def note(name: str, v_BN: Array, spikes_BN: Spikes) -> Spikes:
        fired[name] = v_BN
        return spikes_BN

    interpreter = Interpreter(graph, note)
    interpreter.reset(first.shape[1])
    for step in range(len(first)):
        before = {layer.name: _membrane(interpreter, layer) for layer in stage.layers}
        now = interpreter.step({n: x[step] for n, x in arrays.items()})
        for layer in spiking:
            spikes[layer.name][step] = now[layer.name]
        for layer in stage.layers:
            after = _membrane(interpreter, layer)
            top = fired.get(layer.name, after)
            kept = (1 - layer.cell.dv_N).reshape(layer.shape)
            drive = top - kept * before[layer.name] - layer.bias.reshape(layer.shape)
            for node, scale in layer.current_scale.items():
                drive = now[node] * scale
            u[layer.name] = max(u[layer.name], float(np.max(np.abs(drive))))
            v[layer.name] = max(v[layer.name], *(float(np.max(np.abs(x))) for x in (top, after)))
    return u, v, spikes


def _membrane(interpreter: Interpreter, layer: Layer) -> Array:
    """Return v after the reset."""
    if layer.membrane is not None:
        v_BN, spikes_BN = interpreter.outputs[layer.membrane], interpreter.outputs[layer.name]
        reset_by_N = layer.cell.reset_by_N
        return v_BN if reset_by_N is None else v_BN - reset_by_N.reshape(layer.shape) * spikes_BN
    cell = interpreter.neurons[layer.name]
    return np.zeros(layer.shape) if isinstance(cell, Comparator) else cell.v
