"""A chip stage as layers of neurons and the hops between them: what the Loihi family of backends starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from spikeport.deploy.backend import Verdict
from spikeport.deploy.cells import Cell, cell
from spikeport.deploy.hops import Arriving, RefusedError, compose
from spikeport.deploy.latency import schedule
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import NEURONS, SPIKING, VALUED, ChipGraph
from spikeport.export.shapes import Shape

Array = NDArray[np.float64]

ONE = "/1"
"""The source that emits 1 in every step, for a bias that enters a synaptic state. No node of a NIR file has a `/`."""


@dataclass(frozen=True)
class Hop:
    """Synapses from one population to another.

    Attributes:
        source: an input, a layer, or `ONE`.
        target: a layer.
        wait: extra steps before they deliver.
        weight: [target size, source size], the target's gain folded in.
    """

    source: str
    target: str
    wait: int
    weight: csr_array


@dataclass(frozen=True)
class Layer:
    """Neurons of one node.

    Attributes:
        name: the node.
        shape: its shape; neurons are numbered in C order.
        cell: the equations.
        bias: [N], the whole constant input to v a step.
        latency: L_n; the layer is held at 0 before.
    """

    name: str
    shape: Shape
    cell: Cell
    bias: Array
    latency: int


@dataclass(frozen=True)
class HopStage:
    """The stage.

    Attributes:
        inputs: shapes of the input nodes.
        layers: in order of evaluation.
        hops: between them.
        taps: outputs that are nothing but the named input or layer.
        shapes: of the outputs.
        gap: silent steps between two samples.
    """

    inputs: Mapping[str, Shape]
    layers: Sequence[Layer]
    hops: Sequence[Hop]
    taps: Mapping[str, str]
    shapes: Mapping[str, Shape]
    gap: int

    @property
    def latency(self) -> int:
        """The greatest L_n."""
        return max((layer.latency for layer in self.layers), default=0)


def lower_hops(graph: ChipGraph) -> HopStage:
    """Return `graph` as layers and hops.

    Raises:
        RefusedError: a node has no exact form; the first one found.
    """
    refused = refusals(graph)
    if refused:
        raise next(iter(refused.values()))
    return _lower(graph)


def refusals(graph: ChipGraph) -> dict[str, UnfaithfulError]:
    """Return why nodes cannot be run, by node; empty where the graph can be lowered."""
    refused: dict[str, UnfaithfulError] = {}
    for name in graph.neurons:
        try:
            cell(graph, name)
        except UnfaithfulError as error:
            refused[name] = error
    if not refused:
        try:
            _lower(graph)
        except RefusedError as error:
            refused[error.node] = error
    return refused


def _lower(graph: ChipGraph) -> HopStage:
    arriving = compose(graph)
    outputs = {n: map_.tap() for n, map_ in arriving.items() if isinstance(graph.nodes[n], nir.Output)}
    taps = {name: source for name, source in outputs.items() if source is not None}
    arriving = {n: map_ for n, map_ in arriving.items() if n not in taps}
    _check_values(graph, arriving)
    plan = schedule(arriving, graph.inputs)
    cells = {name: cell(graph, name) for name in arriving}
    hops = [
        Hop(s, target, plan.wait[s, lag, target], _scaled(cells[target].gain, weight))
        for target, map_ in arriving.items()
        for (s, lag), weight in map_.weights.items()
    ]
    layers = []
    for name, map_ in arriving.items():
        constant = cells[name].gain * map_.bias
        if cells[name].du != 1.0 and np.any(constant):
            hops.append(Hop(ONE, name, 0, csr_array(constant[:, None])))
            constant = np.zeros_like(constant)
        layers.append(Layer(name, graph.shapes[name], cells[name], cells[name].bias + constant, plan.latency[name]))
    shapes = {name: graph.shapes[name] for name in graph.outputs}
    return HopStage({n: graph.shapes[n] for n in graph.inputs}, layers, hops, taps, shapes, plan.gap)


def _scaled(gain: Array, weight: csr_array) -> csr_array:
    scaled = csr_array(diags_array(gain) @ weight)
    scaled.eliminate_zeros()
    return scaled


def _check_values(graph: ChipGraph, arriving: Mapping[str, Arriving]) -> None:
    for target, map_ in arriving.items():
        for source, _ in map_.weights:
            if isinstance(graph.nodes[source], VALUED):
                raise RefusedError(
                    source,
                    f"its membrane feeds '{target}'",
                    "a Loihi neuron sends spikes; a membrane can only be read by an output",
                    "Connect it to the output alone, or use a spiking neuron (reset_mechanism='zero' in snnTorch)",
                )


def verdicts(graph: ChipGraph, refused: Mapping[str, UnfaithfulError], integers: bool = False) -> list[Verdict]:
    """Return a verdict for every node, given the refused ones.

    Args:
        graph: the stage.
        refused: by node.
        integers: parameters are quantised.
    """
    found = []
    late = {} if refused or not integers else {layer.name: layer.latency for layer in _lower(graph).layers}
    for name in graph.order:
        kind = type(graph.nodes[name]).__name__
        if name in refused:
            found.append(Verdict(name, kind, "refused", f"{refused[name].reason}. {refused[name].fix}"))
        else:
            why = _rewriting(graph.nodes[name], integers) + (_waiting(late[name]) if name in late else "")
            found.append(Verdict(name, kind, "rewritten" if why else "native", why))
    return found


def _waiting(latency: int) -> str:
    steps = "1 step" if latency == 1 else f"{latency} steps"
    return f"; {steps} late, one a hop, and held at 0 until then, its bias too: exact"


def _rewriting(node: nir.NIRNode, integers: bool) -> str:
    if isinstance(node, nir.Input | nir.Output):
        return ""
    exactly = "parameters in integers: differs by their rounding" if integers else "exact up to rounding"
    if isinstance(node, nir.LIF | nir.IF | nir.CubaLIF):
        return exactly if integers else ""
    if isinstance(node, SPIKING):
        return "a LIF that keeps nothing between steps: exact"
    if isinstance(node, NEURONS):
        return f"a LIF that never fires, whose membrane is read: {exactly}"
    if isinstance(node, nir.Delay):
        return "the connection waits: exact"
    return f"composed with its neighbours into one connection between two populations: {exactly}"
