"""Loihi's integer LIF as facts state it, one plain step after the other: what Lava's fixed point has to equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.quantise import QuantisedStage
from spikeport.deploy.stage import ONE

Ints = NDArray[np.int64]


def towards_zero(x: Ints) -> Ints:
    return np.sign(x) * (np.abs(x) >> 12)


def simulate(
    quantised: QuantisedStage, inputs_TBN: Mapping[str, Ints], divide: Callable[[Ints], Ints] = towards_zero
) -> dict[str, Ints]:
    """Return each layer's spikes [T, B, N] (a layer that is only read: its v)."""
    timesteps, samples = next(iter(inputs_TBN.values())).shape[:2]
    late = {layer.layer.name: layer.layer.latency for layer in quantised.layers} | dict.fromkeys(inputs_TBN, 0)
    sent = {name: x.reshape(timesteps, samples, -1) for name, x in inputs_TBN.items()}
    sent[ONE], late[ONE] = np.ones((timesteps, samples, 1), dtype=np.int64), 0
    sizes = {layer.layer.name: len(layer.bias_mant) for layer in quantised.layers}
    sent |= {name: np.zeros((timesteps, samples, size), dtype=np.int64) for name, size in sizes.items()}
    u = {name: np.zeros((samples, size), dtype=np.int64) for name, size in sizes.items()}
    v = {name: np.zeros((samples, size), dtype=np.int64) for name, size in sizes.items()}
    for t in range(timesteps):
        for layer in quantised.layers:
            name = layer.layer.name
            arriving = np.zeros((samples, sizes[name]), dtype=np.int64)
            for hop in quantised.hops:
                if hop.hop.target != name:
                    continue
                origin = hop.hop.source
                lag = 0 if origin == ONE else hop.hop.wait - late[name] + 1 + late[origin]
                if t >= lag:
                    total = sent[origin][t - lag] @ hop.weight.toarray().T.astype(np.int64)
                    arriving += total << hop.weight_exp if hop.weight_exp >= 0 else total >> -hop.weight_exp
            u[name] = divide(u[name] * (4096 - (layer.du_N + 1))) + (arriving << 6)
            assert np.abs(u[name]).max() < 2**23
            bias = layer.bias_mant.astype(np.int64) << layer.bias_exp
            v[name] = np.clip(divide(v[name] * (4096 - layer.dv_N)) + u[name] + bias, -(2**23) + 1, 2**23 - 1)
            spikes = v[name] > layer.vth_mant_N << 6
            v[name] = np.where(spikes, 0 if layer.reset_by_N is None else v[name] - layer.reset_by_N, v[name])
            sent[name][t] = v[name] if layer.layer.cell.emits == "value" else spikes
    return {name: sent[name] for name in sizes}
