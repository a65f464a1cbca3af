"""The machine's own limit for a network: the additions and membrane updates alone, from the nearest cache.

Everything else that a step needs (finding the spikes, fetching weights from further away, writing records) comes on
top; how near a run gets to this says what is left to gain.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from spikeport.deploy.loihi.engine import Engine
from spikeport.deploy.loihi.engine.delivery import add_rows_512
from spikeport.deploy.loihi.engine.membrane import lif

_REPEATS = 20_000


@njit
def _additions(n: int, sums: Any, weights: Any, events: Any) -> None:
    for _ in range(n):
        add_rows_512(sums, weights, events, 0, 0, 0, 0, events.size, np.int32(1))


@njit
def _updates(n: int, a: Any, u: Any, v: Any, bias: Any, s: Any, counts: Any) -> None:
    for _ in range(n):
        lif(a, bias, u, v, s, counts, 0, 0, a.size, 0, np.int32(3000), np.int32(3500), np.int32(2**22))


def synaptic_limit(engine: Engine, activity: Mapping[str, float]) -> float:
    """Return the least seconds of one sample's step, all processors together.

    Args:
        engine: what is run.
        activity: spikes a step and neuron, by source.
    """
    events = sum(activity[s.source] * s.weight.nnz for s in engine.network.synapses)
    rows = (np.zeros(512, np.int32), np.ones(512, np.int8), np.zeros(64, np.int32))
    per_event = _seconds(_additions, *rows) / (64 * 512)
    states = [np.zeros(512, np.int32) for _ in range(4)]
    per_neuron = _seconds(_updates, *states, np.zeros(512, np.uint8), np.zeros(32, np.int32)) / 512
    return float(events * per_event + engine.layout.neurons * per_neuron) / engine.threads


def _seconds(kernel: Any, *arguments: Any) -> float:
    """Return the least seconds of one repetition."""
    kernel(1, *arguments)
    best = np.inf
    for _ in range(3):
        begin = time.perf_counter()
        kernel(_REPEATS, *arguments)
        best = min(best, time.perf_counter() - begin)
    return float(best) / _REPEATS
