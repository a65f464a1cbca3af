"""The integer rules, one plain numpy step after the other: what the compiled engine is held against.

Source: lava-nc 0.10.0, `lava/proc/lif/models.py` (`PyLifModelBitAcc`) and `lava/proc/dense/models.py`
(`PyDenseModelBitAcc`), whose int32 casts are kept, also where u has left its 24 bits. Reset by subtraction, the
refractory time and a neuron's own decay and threshold are ours: Lava's LIF resets to 0, and shares them.

Shapes: T steps, B samples, N neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.engine.network import IntegerNetwork, Parameter, Population, Synapses

Int64 = NDArray[np.int64]

TOP = 2**23


@dataclass
class State:
    """What a population did: u, v (after the reset) and s of every step, [T, B, N]."""

    u: Int64
    v: Int64
    s: Int64


def simulate(network: IntegerNetwork, inputs_TBN: Mapping[str, Int64], steps: int) -> dict[str, State]:
    """Run `network` for `steps` steps; inputs are 0 after their last one."""
    batch = next(iter(inputs_TBN.values())).shape[1]
    sent = {name: np.asarray(x).reshape(*x.shape[:2], -1).astype(np.int64) for name, x in inputs_TBN.items()}
    states = {}
    for population in network.populations:
        empty = (np.zeros((steps, batch, population.size), dtype=np.int64) for _ in range(3))
        states[population.name] = State(*empty)
        sent[population.name] = states[population.name].s
    for t in range(steps):
        for population in network.populations:
            arriving = np.zeros((batch, population.size), dtype=np.int64)
            if population.constant is not None and t > 0:
                arriving += population.constant
            for synapses in network.synapses:
                if synapses.target == population.name:
                    arriving += _delivered(synapses, sent[synapses.source], t)
            _step(population, states[population.name], int32(arriving), t)
    return states


def _delivered(synapses: Synapses, sent_TBN: Int64, t: int) -> Int64 | int:
    then = t - 1 - synapses.wait
    if not 0 <= then < len(sent_TBN):
        return 0
    total = sent_TBN[then] @ synapses.weight.toarray().T.astype(np.int64)
    return np.asarray(total << synapses.weight_exp if synapses.weight_exp > 0 else total >> -synapses.weight_exp)


def _step(population: Population, state: State, arriving: Int64, t: int) -> None:
    """Write step `t` of the population's state."""
    if t < population.onset:
        return
    before = State(*(x[t - 1] if t else np.zeros_like(x[0]) for x in (state.u, state.v, state.s)))
    u = int32(int32(decayed(before.u, limits.DECAY_ONE - population.du - 1)) + int32(arriving << 6))
    u = np.where(u > TOP, u - 2 * TOP, np.where(u <= -TOP, u + 2 * TOP, u))
    v = int32(decayed(before.v, limits.DECAY_ONE - population.dv) + u + population.bias)
    v = np.clip(v, -TOP + 1, TOP - 1)
    spent = state.s[max(0, t - population.refractory) : t].any(axis=0)
    v = np.where(spent, 0, v)
    s = v > population.vth_mant << 6
    state.u[t], state.s[t] = u, s
    state.v[t] = np.where(s, v - population.reset_by if population.reset == "subtract" else 0, v)


def decayed(x: Int64, keep: Parameter) -> Int64:
    """Return x keep / 4096, towards 0."""
    product = x * keep
    return np.asarray(np.sign(product) * (np.abs(product) >> 12))


def int32(x: Int64) -> Int64:
    """Wrap to 32 bits, as a cast does."""
    return x.astype(np.int32).astype(np.int64)
