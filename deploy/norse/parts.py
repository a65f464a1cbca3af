"""What runs in norse 1.1.0's place of each NIR node: one of its cells, or a torch function.

norse's own NIR importer is not used. It rounds every parameter to float32, where a membrane that meets its threshold
exactly may come out above it; it ignores r and v_reset and starts a membrane at v_leak; and it has no LI, CubaLI, I,
Threshold, Scale, Delay, Conv1d or AvgPool2d. The cells know all that is needed, and take float64:

- `LIF`: `lif_box`, `v += a (v_leak - v + r I)` with a = dt/tau: its step is 1, its 1/tau is a, r scales what arrives.
- `CubaLIF`, `CubaLI`: `li_box` for the current, then as LIF or LI.
- `LI`: `li_box`. `IF`: `iaf`. `I`: `iaf` with an infinite threshold. `Threshold`: norse's threshold function.

Loops are run as they stand, with the step before on register edges. The one that resets by subtraction needs no more:
norse's own `reset_subtract` takes the threshold off at once, before the leak, which is another neuron.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.backend import Fate
from spikeport.export.graph import ChipGraph, delay_steps
from spikeport.export.neurons import if_gain
from spikeport.export.shapes import conv_geometry, pair

Array = NDArray[np.float64]

_LOSES = {
    nir.LIF: "rounds to float32 and ignores r and v_reset",
    nir.CubaLIF: "rounds to float32 and ignores v_reset",
    nir.IF: "rounds to float32 and ignores r and v_reset",
}


@dataclass(frozen=True)
class Part:
    """What runs in place of one node.

    Attributes:
        op: a name that the worker knows.
        words: what that is, for people; empty for a wire.
        fate: `rewritten` where norse has no such node and an equal form runs.
        arrays: its parameters.
        settings: its whole numbers.
    """

    op: str
    words: str = ""
    fate: Fate = "native"
    arrays: Mapping[str, Array] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)


def part_of(graph: ChipGraph, name: str) -> Part:
    """Return what runs in place of the node `name`.

    Raises:
        UnfaithfulError: it is an I or IF whose step NIR leaves open.
    """
    node = graph.nodes[name]
    if isinstance(node, nir.LIF | nir.CubaLIF):
        arrays = _membrane(node, graph.dt_s) | _comparison(node)
        return Part("lif", _cell(node, "lif_box cell"), arrays=arrays)
    if isinstance(node, nir.LI | nir.CubaLI):
        return Part("leaky", _cell(node, "li_box cell"), arrays=_membrane(node, graph.dt_s))
    if isinstance(node, nir.IF | nir.I):
        gain = {"gain": if_gain(name, node, graph.dt_s, graph.if_step)}
        if isinstance(node, nir.IF):
            return Part("iaf", _cell(node, "iaf cell"), arrays=gain | _comparison(node))
        return Part("integrator", _cell(node, "iaf cell with an infinite threshold"), "rewritten", gain)
    if isinstance(node, nir.Threshold):
        words = _cell(node, "threshold function")
        return Part("threshold", words, arrays={"threshold": _array(node.threshold)})
    return _stateless(graph, name, node)


def _cell(node: nir.NIRNode, cell: str) -> str:
    """Say which cell of norse runs, and what its importer would have made of the node."""
    kind = type(node).__name__
    current = "li_box cell for the current and its " if kind.startswith("Cuba") else ""
    return f"norse's {current}{cell}, not its importer, which {_LOSES.get(type(node), f'has no {kind}')}"


def _membrane(node: nir.LIF | nir.LI | nir.CubaLIF | nir.CubaLI, dt_s: float) -> dict[str, Array]:
    """`v += decay (leak - v + gain I)`, and the same for a current."""
    cuba = isinstance(node, nir.CubaLIF | nir.CubaLI)
    tau = node.tau_mem if cuba else node.tau
    arrays = {"decay": dt_s / _array(tau), "gain": _array(node.r), "leak": _array(node.v_leak)}
    if cuba:
        arrays |= {"synapse_decay": dt_s / _array(node.tau_syn), "synapse_gain": _array(node.w_in)}
    return arrays


def _comparison(node: nir.LIF | nir.CubaLIF | nir.IF) -> dict[str, Array]:
    return {"threshold": _array(node.v_threshold), "reset": _array(getattr(node, "v_reset", 0.0))}


def _stateless(graph: ChipGraph, name: str, node: nir.NIRNode) -> Part:
    if isinstance(node, nir.Affine | nir.Linear):
        bias = {"bias": _array(node.bias)} if isinstance(node, nir.Affine) else {}
        return Part("linear", "torch's linear", arrays={"weight": _array(node.weight), **bias})
    if isinstance(node, nir.Scale):
        return Part("scale", "torch's product", arrays={"scale": _array(node.scale)})
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(node)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        kernel, (high, wide) = pair(node.kernel_size), pair(node.padding)
        divisor = prod(kernel) if isinstance(node, nir.AvgPool2d) else 1
        pads = (wide, wide, high, high)
        settings = {"kernel": kernel, "stride": pair(node.stride), "pads": pads, "divisor": divisor}
        return Part("pool", "torch's avg_pool2d", settings=settings)
    if isinstance(node, nir.Flatten):
        shape = graph.shapes[graph.predecessors[name][0]]
        start, end = (int(dim) % len(shape) + 1 for dim in (node.start_dim, node.end_dim))
        return Part("flatten", "torch's flatten", settings={"start": start, "end": end})
    if isinstance(node, nir.Delay) and (steps := delay_steps(name, node, graph.dt_s)):
        return Part("delay", f"a queue of {steps} steps beside norse: exact", "rewritten", settings={"steps": steps})
    return Part("wire")


def _convolution(node: nir.Conv1d | nir.Conv2d) -> Part:
    stride, dilation, (rows, columns) = conv_geometry(node)
    flat = isinstance(node, nir.Conv1d)
    axes = slice(1, 2) if flat else slice(0, 2)
    settings = {
        "stride": stride[axes],
        "dilation": dilation[axes],
        "pads": columns if flat else (*columns, *rows),
        "groups": int(node.groups),
    }
    arrays = {"weight": _array(node.weight), "bias": _array(node.bias)}
    return Part("convolution", "torch's " + ("conv1d" if flat else "conv2d"), arrays=arrays, settings=settings)


def _array(value: object) -> Array:
    return np.asarray(value, dtype=np.float64)
