"""From a NIR graph to one that norse 1.1.0 imports without loss.

norse's importer ignores r, v_reset and groups, drops what it does not know, and takes Flatten's dimensions as
if the batch were there. Every repair is local to a node:

- `LIF`, `IF`: with v' = v / r, `v' += dt/tau (I - v')` and the threshold is v_threshold / r.
- `Conv2d` with groups: one group, zeros between the groups.
- `AvgPool2d`, padded `SumPool2d`: a `Conv2d` with constant kernels, one channel each.
- `Scale`: a diagonal `Affine`, or a 1 x 1 `Conv2d` where it is constant over each channel.
- `Flatten`: dimensions counted with the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.hops import RefusedError
from spikeport.export.graph import ChipGraph
from spikeport.export.neurons import if_gain
from spikeport.export.shapes import Shape, conv_geometry, pair

Array = NDArray[np.float64]

MAX_DIAGONAL = 8192
_MISSING = {
    nir.LI: "a membrane output",
    nir.CubaLI: "a membrane output",
    nir.I: "an integrator output",
    nir.Threshold: "a bare threshold",
    nir.Delay: "a delay",
    nir.Conv1d: "a one-dimensional convolution",
}


@dataclass(frozen=True)
class Legal:
    """A node that norse imports, and what was done to it; no words where nothing was."""

    node: nir.NIRNode
    rewriting: str = ""


def legalise(graph: ChipGraph, name: str) -> Legal:
    """Return the node `name` in a form that norse imports as the same function.

    Raises:
        RefusedError: there is none.
    """
    node = graph.nodes[name]
    shape = graph.shapes[graph.predecessors[name][0]] if graph.predecessors[name] else graph.shapes[name]
    if (what := _MISSING.get(type(node))) is not None:
        reason = f"norse's importer drops {what}"
        raise RefusedError(name, type(node).__name__, reason, "Keep it on a host stage, or use another backend")
    if isinstance(node, nir.LIF | nir.IF | nir.CubaLIF):
        return _neuron(graph, name, node)
    if isinstance(node, nir.Conv2d):
        return _convolution(node, shape)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return _pool(node, shape)
    if isinstance(node, nir.Scale):
        return _scale(name, node, shape)
    if isinstance(node, nir.Flatten):
        return _flatten(node, shape)
    return Legal(node)


def _neuron(graph: ChipGraph, name: str, node: nir.LIF | nir.IF | nir.CubaLIF) -> Legal:
    shape = graph.shapes[name]
    _check_zero(name, node, "v_reset", "norse resets to 0 whatever it says")
    if isinstance(node, nir.CubaLIF):
        _check_zero(name, node, "v_leak", "norse starts there, and lets the synapse leak to it")
        fields = ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "w_in")
        full = {field: _full(getattr(node, field), shape) for field in fields}
        return Legal(nir.CubaLIF(**full))
    threshold = _full(node.v_threshold, shape)
    if isinstance(node, nir.IF):
        gain = _positive(name, "r", _full(if_gain(name, node, graph.dt_s, graph.if_step), shape))
        return Legal(nir.IF(r=np.ones(shape), v_threshold=threshold / gain), _why("r", gain))
    _check_zero(name, node, "v_leak", "norse starts there, not at 0")
    gain = _positive(name, "r", _full(node.r, shape))
    legal = nir.LIF(tau=_full(node.tau, shape), r=np.ones(shape), v_leak=np.zeros(shape), v_threshold=threshold / gain)
    return Legal(legal, _why("r", gain))


def _why(field: str, gain: Array) -> str:
    if np.all(gain == 1):
        return ""
    return f"its {field} is folded into the threshold, v' = v/{field}: exact up to rounding"


def _full(value: object, shape: Shape) -> Array:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), shape).copy()


def _positive(name: str, field: str, gain: Array) -> Array:
    if np.any(gain <= 0):
        raise RefusedError(
            name, f"{field} {gain.min():g}", "norse ignores it, and only a positive one can be folded away",
            "Fold its sign into the weights before",
        )  # fmt: skip
    return gain


def _check_zero(name: str, node: nir.NIRNode, field: str, reason: str) -> None:
    value = np.asarray(getattr(node, field, 0.0), dtype=np.float64)
    if np.any(value):
        extreme = value.ravel()[np.argmax(np.abs(value))]
        raise RefusedError(name, f"{field} {extreme:g}", reason, f"Shift v so that {field} is 0")


def _convolution(node: nir.Conv2d, shape: Shape) -> Legal:
    groups = int(node.groups)
    if groups == 1:
        return Legal(_conv2d(node, shape, np.asarray(node.weight), np.asarray(node.bias)))
    weight = np.asarray(node.weight, dtype=np.float64)
    out, per_group = weight.shape[:2]
    dense = np.zeros((out, per_group * groups, *weight.shape[2:]))
    for group, rows in enumerate(np.split(np.arange(out), groups)):
        dense[rows, group * per_group : (group + 1) * per_group] = weight[rows]
    conv = _conv2d(node, shape, dense, np.asarray(node.bias))
    return Legal(conv, f"its {groups} groups are one with zeros between: exact")


def _conv2d(node: nir.Conv2d, shape: Shape, weight: Array, bias: Array) -> nir.Conv2d:
    stride, dilation, pads = conv_geometry(node)
    symmetric = all(before == after for before, after in pads)
    padding = tuple(before for before, _ in pads) if symmetric else "same"
    return nir.Conv2d((shape[1], shape[2]), weight, stride, padding, dilation, 1, bias)


def _pool(node: nir.SumPool2d | nir.AvgPool2d, shape: Shape) -> Legal:
    kernel, stride, padding = pair(node.kernel_size), pair(node.stride), pair(node.padding)
    if isinstance(node, nir.SumPool2d) and padding == (0, 0):
        return Legal(nir.SumPool2d(np.array(kernel), np.array(stride), np.array(padding)))
    value = 1.0 / prod(kernel) if isinstance(node, nir.AvgPool2d) else 1.0
    channels = shape[0]
    weight = np.zeros((channels, channels, *kernel))
    weight[np.arange(channels), np.arange(channels)] = value
    conv = nir.Conv2d((shape[1], shape[2]), weight, stride, padding, (1, 1), 1, np.zeros(channels))
    return Legal(conv, "a Conv2d with constant kernels, one channel each: exact up to rounding")


def _scale(name: str, node: nir.Scale, shape: Shape) -> Legal:
    scale = _full(node.scale, shape)
    if len(shape) == 1 and shape[0] <= MAX_DIAGONAL:
        return Legal(nir.Affine(np.diag(scale), np.zeros(shape)), "a diagonal Affine: exact")
    by_channel = scale.reshape(shape[0], -1)
    if len(shape) == 3 and np.all(by_channel == by_channel[:, :1]):
        weight = np.diag(by_channel[:, 0])[:, :, None, None]
        conv = nir.Conv2d((shape[1], shape[2]), weight, (1, 1), (0, 0), (1, 1), 1, np.zeros(shape[0]))
        return Legal(conv, "a 1 x 1 Conv2d: exact")
    raise RefusedError(
        name,
        f"shape {shape}",
        f"norse has no Scale, and only one a channel, or of at most {MAX_DIAGONAL} elements, has another form",
        "Fold it into the neighbouring weights",
    )


def _flatten(node: nir.Flatten, shape: Shape) -> Legal:
    rank = len(shape)
    start, end = int(node.start_dim) % rank + 1, int(node.end_dim) % rank + 1
    batched = {"input": np.array([1, *shape])}
    return Legal(nir.Flatten(batched, start, end), "its dimensions are counted with the batch: exact")
