"""NIR neurons as the one neuron that Lava's LIF process computes.

    u[t] = (1 - du) u[t-1] + gain I[t]
    v[t] = (1 - dv) v[t-1] + u[t] + bias
    s[t] = v[t] > threshold, then v = 0

With a = dt/tau: `LIF` is du = 1, dv = a, gain = a r, bias = a v_leak. `CubaLIF` is du = a_syn, dv = a_mem,
gain = a_mem r a_syn w_in (u stands for a_mem r i). `IF` is dv = 0, gain = g. `Threshold` is dv = 1. `LI`,
`CubaLI` and `I` are the same without a threshold. du, dv and the threshold are one number a node.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.hops import RefusedError
from spikeport.export.graph import VALUED, ChipGraph
from spikeport.export.neurons import if_gain

Array = NDArray[np.float64]
Emits = Literal["spikes", "value", "sum"]


@dataclass(frozen=True)
class Cell:
    """One node's neurons; see the module for the equations.

    Attributes:
        emits: `spikes`; `value`, the membrane of a neuron without threshold; `sum`, what arrives, for an output
            that is fed by synapses.
        du: decay of the synaptic state a step, 1 for none.
        dv: decay of the membrane a step.
        threshold: in the unit of v.
        gain: [N], what the incoming weights are multiplied with.
        bias: [N], constant input to v.
    """

    emits: Emits
    du: float
    dv: float
    threshold: float
    gain: Array
    bias: Array


def cell(graph: ChipGraph, name: str) -> Cell:
    """Return the neuron of the node `name`.

    Raises:
        RefusedError: a parameter differs between the node's neurons, or the reset is not to 0.
    """
    node, size = graph.nodes[name], prod(graph.shapes[name])
    _check_reset(name, node)
    dt = graph.dt_s
    if isinstance(node, nir.CubaLI | nir.CubaLIF):
        a_mem, a_syn = dt / _one(name, node, "tau_mem"), dt / _one(name, node, "tau_syn")
        gain = a_mem * _full(node.r, graph, name) * a_syn * _full(node.w_in, graph, name)
        return _cell(name, node, a_syn, a_mem, gain, a_mem * _full(node.v_leak, graph, name))
    if isinstance(node, nir.LI | nir.LIF):
        a_mem = dt / _one(name, node, "tau")
        gain = a_mem * _full(node.r, graph, name)
        return _cell(name, node, 1.0, a_mem, gain, a_mem * _full(node.v_leak, graph, name))
    if isinstance(node, nir.I | nir.IF):
        gain = _full(if_gain(name, node, dt, graph.if_step), graph, name)
        return _cell(name, node, 1.0, 0.0, gain, np.zeros(size))
    if isinstance(node, nir.Threshold):
        return _cell(name, node, 1.0, 1.0, np.ones(size), np.zeros(size))
    return Cell("sum", 1.0, 1.0, np.inf, np.ones(size), np.zeros(size))


def _cell(name: str, node: nir.NIRNode, du: float, dv: float, gain: Array, bias: Array) -> Cell:
    if isinstance(node, VALUED):
        return Cell("value", du, dv, np.inf, gain, bias)
    field = "threshold" if isinstance(node, nir.Threshold) else "v_threshold"
    return Cell("spikes", du, dv, _one(name, node, field), gain, bias)


def _full(value: object, graph: ChipGraph, name: str) -> Array:
    full: Array = np.broadcast_to(np.asarray(value, dtype=np.float64), graph.shapes[name]).ravel()
    return full


def _one(name: str, node: nir.NIRNode, field: str) -> float:
    """Return the value that all neurons of the node share."""
    values = np.unique(np.asarray(getattr(node, field), dtype=np.float64))
    if values.size != 1:
        raise RefusedError(
            name,
            f"{field} from {values[0]:g} to {values[-1]:g}",
            f"Lava's LIF has one {field} for all neurons of a process",
            f"Train one {field} a layer, or split the layer",
        )
    return float(values[0])


def _check_reset(name: str, node: nir.NIRNode) -> None:
    reset = np.asarray(getattr(node, "v_reset", 0.0), dtype=np.float64)
    if np.any(reset):
        extreme = reset.ravel()[np.argmax(np.abs(reset))]
        raise RefusedError(name, f"v_reset {extreme:g}", "Lava's LIF resets to 0", "Shift v so that it resets to 0")
