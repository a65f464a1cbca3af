"""What a NIR neuron does in one step, in snnTorch's terms: decays, a factor on the input, a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import nir
import numpy as np
import torch

from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph
from spikeport.export.neurons import Array, if_gain
from spikeport.export.shapes import Shape


@dataclass(frozen=True)
class Dynamics:
    """`i[t] = alpha i[t-1] + drive I[t]`, `U[t] = beta U[t-1] + i[t]`; without alpha, i is `drive I`.

    Each is given for every element of the node's shape.
    """

    beta: Array
    drive: Array
    alpha: Array | None = None


def dynamics(graph: ChipGraph, name: str) -> Dynamics:
    """Return the dynamics of the neuron node `name`.

    `LI`, `LIF`: beta = 1 - dt/tau and drive = dt/tau r. `CubaLI`, `CubaLIF`: alpha = 1 - dt/tau_syn and, with the
    membrane's factor moved in front of the current, drive = dt/tau_syn w_in dt/tau_mem r. `I`, `IF`: beta = 1.
    `Threshold`: beta = 0, a membrane that remembers nothing.

    Raises:
        UnfaithfulError: it leaks, or is reset, to another value than 0.
    """
    node, shape = graph.nodes[name], graph.shapes[name]
    _refuse_offsets(name, node)
    if isinstance(node, nir.Threshold):
        return Dynamics(np.zeros(shape), np.ones(shape))
    if isinstance(node, nir.I | nir.IF):
        return Dynamics(np.ones(shape), _full(if_gain(name, node, graph.dt_s, graph.if_step), shape))
    if isinstance(node, nir.LI | nir.LIF):
        a = graph.dt_s / _full(node.tau, shape)
        return Dynamics(_decay(a), a * _full(node.r, shape))
    a, a_syn = graph.dt_s / _full(node.tau_mem, shape), graph.dt_s / _full(node.tau_syn, shape)
    return Dynamics(_decay(a), a_syn * _full(node.w_in, shape) * a * _full(node.r, shape), _decay(a_syn))


def threshold(node: nir.NIRNode, shape: Shape) -> Array:
    """Return the threshold of a spiking node for every element."""
    return _full(node.threshold if isinstance(node, nir.Threshold) else node.v_threshold, shape)


def equal(value: Array, wanted: Array | float, dtype: torch.dtype) -> bool:
    """Return whether `value` is `wanted` up to the rounding of `dtype`, 4 units of it."""
    return bool(np.all(np.abs(value - wanted) <= 2 * torch.finfo(dtype).eps * np.abs(wanted)))


def _decay(a: Array) -> Array:
    """Return 1 - a; where tau is dt up to the last digits, 0, since snnTorch clamps a decay to 0..1."""
    return np.maximum(1.0 - a, 0.0)


def _refuse_offsets(name: str, node: nir.NIRNode) -> None:
    fixes: Mapping[str, str] = {
        "v_leak": "Shift the membrane: v_leak 0, and v_leak / r on the bias of the layer before",
        "v_reset": "Retrain it with v_reset 0",
    }
    for field, fix in fixes.items():
        value = np.asarray(getattr(node, field, 0.0), dtype=np.float64)
        if np.any(value != 0):
            odd = float(value[value != 0].flat[0])
            raise UnfaithfulError(
                f"node '{name}'", f"its {field} is {odd}, and snnTorch's neurons leak and are reset to 0", fix
            )


def _full(value: object, shape: Shape) -> Array:
    array = np.asarray(value, dtype=np.float64)
    return np.broadcast_to(array.reshape(()) if array.size == 1 else array, shape)
