"""A network as data that another process rebuilds: one step of torch's layers and neurons, then a mean and a Linear.

    {"inputs": [name], "nodes": [{"name", "kind", "reads": [name], "settings"}], "output": name}

`kind` is a layer's class in `torch.nn`, `Leaky` or `add`. Weights are arrays named as in the state dict.
"""

from __future__ import annotations

import operator
from typing import Any

import snntorch
from torch import fx, nn

from spikeport.errors import UnavailableError
from spikeport.models.folded import one_step
from spikeport.models.l2act.fusion import Head
from spikeport.models.network import SpikeRate, SpikingNetwork

Described = dict[str, Any]
_GEOMETRY = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
_SETTINGS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: _GEOMETRY,
    nn.Linear: ("in_features", "out_features"),
    nn.BatchNorm1d: ("num_features", "eps"),
    nn.BatchNorm2d: ("num_features", "eps"),
    nn.AvgPool2d: ("kernel_size", "stride", "padding"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding"),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.Identity: (),
}


def describe(net: SpikingNetwork, slope: float) -> Described:
    """Return the description of a network of one step and a readout, a Linear on means over time and picture.

    Args:
        net: the network.
        slope: alpha of its neurons' arctangent surrogate, which the neurons do not tell.

    Raises:
        UnavailableError: it has another form, or a layer without a counterpart.
    """
    if [segment.form for segment in net.segments] != ["step", "readout"]:
        names = [segment.name for segment in net.segments]
        raise _none(f"it is not one step and a readout but has {len(names)} segments, '{names[1]}' behind the first")
    core, readout = net.segments
    graph = one_step(core.module).graph
    *nodes, last = graph.nodes
    (output,) = last.args
    if not isinstance(output, fx.Node):
        raise _none("its step writes several tensors")
    inputs = [node.name for node in nodes if node.op == "placeholder"]
    listed = [_node(core.module, core.name, node, slope) for node in nodes if node.op != "placeholder"]
    linear = _linear(readout.module)
    described = {"inputs": inputs, "nodes": listed, "output": str(output)}
    return described | {"readout": {"name": f"{readout.name}.linear", **_layer(linear, slope)}}


def _node(core: nn.Module, prefix: str, node: fx.Node, slope: float) -> Described:
    reads = [str(value) for value in node.args]
    if node.op == "call_function" and node.target is operator.add:
        return {"name": node.name, "kind": "add", "reads": reads, "settings": {}}
    if node.op != "call_module":
        raise _none(f"its step calls '{node.target}'")
    layer = _layer(core.get_submodule(str(node.target)), slope)
    return {"name": node.name, "weights": f"{prefix}.{node.target}", "reads": reads, **layer}


def _layer(layer: nn.Module, slope: float) -> Described:
    if type(layer) is snntorch.Leaky and layer.reset_mechanism == "zero":
        neuron: Any = layer
        settings = {"beta": float(neuron.beta), "threshold": float(neuron.threshold), "slope": slope}
        return {"kind": "Leaky", "settings": settings}
    if type(layer) not in _SETTINGS:
        raise _none(f"there is none of {type(layer).__name__}")
    found = {name: getattr(layer, name) for name in _SETTINGS[type(layer)]}
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        found["bias"] = layer.bias is not None
    return {"kind": type(layer).__name__, "settings": found}


def _linear(readout: nn.Module) -> nn.Linear:
    if not isinstance(readout, (SpikeRate, Head)):
        raise _none(f"its readout is a {type(readout).__name__}")
    return readout.linear


def _none(reason: str) -> UnavailableError:
    return UnavailableError("SpikingJelly's counterpart of the network", reason, "Compare with the plain loop")
