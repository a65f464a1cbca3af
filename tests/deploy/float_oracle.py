"""A lowered stage in plain float64 numpy, one step after the other: what a chip of such neurons would do.

Written from the equations of `spikeport.deploy.cells` alone.
Shapes: T steps of the input, S steps run, B samples, N neurons.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.stage import ONE, HopStage, Layer
from spikeport.export.recording import FLOAT64, Recording

Array = NDArray[np.float64]


def run_stage(stage: HopStage, inputs_TBN: Mapping[str, Array], reset_by_k: bool = False) -> Recording:
    """Run every layer, each held at 0 until its latency.

    Args:
        stage: the layers.
        inputs_TBN: [T, B, *shape] by input.
        reset_by_k: the naive reading: a spike takes off K = beta R at once.
    """
    timesteps, batch = next(iter(inputs_TBN.values())).shape[:2]
    steps = timesteps + stage.latency
    sent = {ONE: np.ones((steps, batch, 1))}
    for name, x in inputs_TBN.items():
        sent[name] = np.zeros((steps, batch, x[0, 0].size))
        sent[name][:timesteps] = x.reshape(timesteps, batch, -1)
    nodes: dict[str, Array] = {}
    for layer in stage.layers:
        sent[layer.name] = np.zeros((steps, batch, len(layer.bias)))
        for node in layer.nodes:
            nodes[node] = np.zeros((steps, batch, *layer.shape))
    state = {
        layer.name: (np.zeros((batch, len(layer.bias))), np.zeros((batch, len(layer.bias)))) for layer in stage.layers
    }
    for t in range(steps):
        for layer in stage.layers:
            if t >= layer.latency:
                _step(stage, layer, sent, state, nodes, t, reset_by_k)
    for output, source in stage.taps.items():
        shown = nodes[source] if source in nodes else sent[source]
        nodes[output] = shown.reshape(steps, batch, *stage.shapes[output])
    latency = {node: layer.latency for layer in stage.layers for node in layer.nodes}
    latency |= {output: latency.get(source, 0) for output, source in stage.taps.items()}
    return Recording(nodes, latency, timesteps, FLOAT64)


def _step(
    stage: HopStage, layer: Layer, sent: dict[str, Array], state: dict[str, tuple[Array, Array]],
    nodes: dict[str, Array], t: int, reset_by_k: bool,
) -> None:  # fmt: skip
    cell, arriving = layer.cell, 0.0
    for hop in stage.hops:
        then = t - 1 - hop.wait
        if hop.target == layer.name and (then >= 0 or hop.source == ONE):
            arriving = arriving + sent[hop.source][max(then, 0)] @ hop.weight.toarray().T
    u, v = state[layer.name]
    u = (1 - cell.du_N) * u + arriving
    v = (1 - cell.dv_N) * v + u + layer.bias
    s = v > cell.threshold_N
    if layer.membrane:
        nodes[layer.membrane][t] = v.reshape(-1, *layer.shape)
    if layer.current:
        nodes[layer.current][t] = (u / layer.current_gain).reshape(-1, *layer.shape)
    nodes[layer.name][t] = (s if cell.emits == "spikes" else v).reshape(-1, *layer.shape)
    sent[layer.name][t] = s
    taken = None if cell.reset_by_N is None else cell.reset_by_N * ((1 - cell.dv_N) if reset_by_k else 1.0)
    state[layer.name] = (u, np.where(s, 0.0, v) if taken is None else v - taken * s)
