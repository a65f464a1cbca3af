"""NIR neurons as one kind of neuron: Lava's LIF, with a reset by subtraction beside its reset to 0.

    u[t] = (1 - du) u[t-1] + gain I[t]
    v[t] = (1 - dv) v[t-1] + u[t] + bias
    s[t] = v[t] > threshold, then v = 0, or v = v - reset_by

With a = dt/tau: `LIF` is du = 1, dv = a, gain = a r, bias = a v_leak. `CubaLIF` is du = a_syn, dv = a_mem,
gain = a_mem r a_syn w_in (u stands for a_mem r i). `IF` is dv = 0, gain = g. `Threshold` is dv = 1. `LI`,
`CubaLI` and `I` are the same without a threshold. A membrane with a threshold behind it is one such neuron
(`lowering.soft_reset`), its `LI` of a current being u.

Shapes: N the neurons of a node, in C order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.hops import RefusedError
from spikeport.deploy.lowering.soft_reset import SoftReset
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
        du_N: decay of the synaptic state a step, 1 for none.
        dv_N: decay of the membrane a step.
        threshold_N: in the unit of v.
        gain: [N], what the incoming weights are multiplied with.
        bias: [N], constant input to v.
        reset_by_N: what a spike takes off v; 0 for no reset, `None` where it sets v to 0.
    """

    emits: Emits
    du_N: Array
    dv_N: Array
    threshold_N: Array
    gain: Array
    bias: Array
    reset_by_N: Array | None = None

    @property
    def alike(self) -> bool:
        """Whether all neurons share their decays, threshold and reset."""
        each = (self.du_N, self.dv_N, self.threshold_N, self.reset_by_N)
        return all(values is None or np.unique(values).size <= 1 for values in each)


def cell(graph: ChipGraph, name: str) -> Cell:
    """Return the neuron of the node `name`.

    Raises:
        RefusedError: the reset is to another value than 0.
    """
    node, size = graph.nodes[name], prod(graph.shapes[name])
    _check_reset(name, node)
    dt = graph.dt_s
    one = np.ones(size)
    if isinstance(node, nir.CubaLI | nir.CubaLIF):
        a_mem, a_syn = dt / _full(node.tau_mem, graph, name), dt / _full(node.tau_syn, graph, name)
        gain = a_mem * _full(node.r, graph, name) * a_syn * _full(node.w_in, graph, name)
        return _cell(graph, name, a_syn, a_mem, gain, a_mem * _full(node.v_leak, graph, name))
    if isinstance(node, nir.LI | nir.LIF):
        a_mem = dt / _full(node.tau, graph, name)
        gain = a_mem * _full(node.r, graph, name)
        return _cell(graph, name, one, a_mem, gain, a_mem * _full(node.v_leak, graph, name))
    if isinstance(node, nir.I | nir.IF):
        gain = _full(if_gain(name, node, dt, graph.if_step), graph, name)
        return _cell(graph, name, one, np.zeros(size), gain, np.zeros(size))
    if isinstance(node, nir.Threshold):
        return _cell(graph, name, one, one, one, np.zeros(size))
    return Cell("sum", one, one, np.full(size, np.inf), one, np.zeros(size))


def folded_cell(graph: ChipGraph, neuron: SoftReset) -> Cell:
    """Return the neuron that several nodes of `graph` make up."""
    membrane = cell(graph, neuron.membrane)
    parts = replace(
        membrane,
        emits="spikes" if neuron.spikes else "value",
        threshold_N=neuron.theta.ravel(),
        reset_by_N=neuron.reset_by.ravel() if neuron.spikes else None,
    )
    if neuron.current is None:
        return parts
    current = cell(graph, neuron.current)
    return replace(parts, du_N=current.dv_N, gain=membrane.gain * current.gain)


def _cell(graph: ChipGraph, name: str, du: Array, dv: Array, gain: Array, bias: Array) -> Cell:
    node = graph.nodes[name]
    if isinstance(node, VALUED):
        return Cell("value", du, dv, np.full(len(gain), np.inf), gain, bias)
    field = "threshold" if isinstance(node, nir.Threshold) else "v_threshold"
    return Cell("spikes", du, dv, _full(getattr(node, field), graph, name), gain, bias)


def _full(value: object, graph: ChipGraph, name: str) -> Array:
    full: Array = np.broadcast_to(np.asarray(value, dtype=np.float64), graph.shapes[name]).ravel()
    return full


def _check_reset(name: str, node: nir.NIRNode) -> None:
    reset = np.asarray(getattr(node, "v_reset", 0.0), dtype=np.float64)
    if np.any(reset):
        extreme = reset.ravel()[np.argmax(np.abs(reset))]
        raise RefusedError(name, f"v_reset {extreme:g}", "Lava's LIF resets to 0", "Shift v so that it resets to 0")
