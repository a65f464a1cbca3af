"""A chip stage as layers of neurons and the hops between them: what the Loihi family of backends starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from spikeport.deploy.backend import Verdict
from spikeport.deploy.cells import Cell, cell, folded_cell
from spikeport.deploy.hops import Arriving, RefusedError, compose
from spikeport.deploy.latency import schedule
from spikeport.deploy.lowering.soft_reset import SoftReset, folded_neurons
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import NEURONS, SPIKING, VALUED, ChipGraph
from spikeport.export.shapes import Shape

Array = NDArray[np.float64]

ONE = "/1"
"""The source that emits 1 in every step, for a bias that enters a synaptic state. No node of a NIR file has a `/`."""


GRADED = "values other than 0 and 1: graded spikes, which Loihi 2 has and Loihi 1 has not; rounded to integers"


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
    """Neurons of one node, or of several that are one neuron.

    Attributes:
        name: the node that they are called by.
        shape: its shape; neurons are numbered in C order.
        cell: the equations.
        bias: [N], the whole constant input to v a step.
        latency: L_n; the layer is held at 0 before.
        membrane: the node that shows v before its reset, beside the spikes; `None` where the graph has none.
        current: the node that shows the synaptic state; `None` where the graph has none.
        current_gain: [N], u for 1 of what `current` shows, where there is one.
    """

    name: str
    shape: Shape
    cell: Cell
    bias: Array
    latency: int
    membrane: str | None = None
    current: str | None = None
    current_gain: Array | None = None

    @property
    def current_scale(self) -> dict[str, Array]:
        """What u is for 1 of what the node of the current shows, [*shape], by that node; empty without one."""
        if self.current is None or self.current_gain is None:
            return {}
        return {self.current: self.current_gain.reshape(self.shape)}

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes whose recording the layer gives."""
        return tuple(node for node in (self.name, self.membrane, self.current) if node)

    @property
    def stock(self) -> bool:
        """Whether Lava's own LIF computes it: a reset to 0, and one decay and threshold for all neurons."""
        return self.cell.reset_by_N is None and self.cell.alike


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
    folded = folded_neurons(graph)
    cells = {name: folded_cell(graph, neuron) for name, neuron in folded.items()}
    arriving = compose(graph, folded.values())
    for name, neuron in folded.items():
        arriving[name] = _with_late_reset(arriving[name], neuron, cells[name].gain)
    outputs = {n: map_.tap() for n, map_ in arriving.items() if isinstance(graph.nodes[n], nir.Output)}
    taps = {name: source for name, source in outputs.items() if source is not None}
    arriving = {n: map_ for n, map_ in arriving.items() if n not in taps}
    _check_values(graph, arriving)
    plan = schedule(arriving, graph.inputs)
    layers, hops = [], []
    for name, map_ in arriving.items():
        one = folded.get(name)
        neurons = cells[name] if one else cell(graph, name)
        hops += [
            Hop(s, name, plan.wait[s, lag, name], _scaled(neurons.gain, weight))
            for (s, lag), weight in map_.weights.items()
        ]
        constant = neurons.gain * map_.bias
        through_u = np.any(neurons.du_N != 1.0) or (one is not None and one.current is not None)
        if through_u and np.any(constant):
            hops.append(Hop(ONE, name, 0, csr_array(constant[:, None])))
            constant = np.zeros_like(constant)
        layers.append(_layer(graph, name, one, neurons, neurons.bias + constant, plan.latency[name]))
    shapes = {name: graph.shapes[name] for name in graph.outputs}
    return HopStage({n: graph.shapes[n] for n in graph.inputs}, layers, hops, taps, shapes, plan.gap)


def _layer(graph: ChipGraph, name: str, folded: SoftReset | None, neurons: Cell, bias: Array, latency: int) -> Layer:
    if folded is None:
        return Layer(name, graph.shapes[name], neurons, bias, latency)
    membrane = folded.membrane if folded.spikes else None
    gain = cell(graph, folded.membrane).gain if folded.current else None
    return Layer(name, graph.shapes[name], neurons, bias, latency, membrane, folded.current, gain)


def _with_late_reset(arriving: Arriving, neuron: SoftReset, gain: Array) -> Arriving:
    """Let what a spike takes off one step later come back as synapses, where it has no form at once."""
    late = neuron.late.ravel()
    if not np.any(late):
        return arriving
    back = csr_array(diags_array(np.divide(-late, gain, out=np.zeros_like(late), where=late > 0)))
    key = (neuron.name, 1)
    return replace(arriving, weights={**arriving.weights, key: arriving.weights.get(key, 0 * back) + back})


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


def verdicts(
    graph: ChipGraph, refused: Mapping[str, UnfaithfulError], own: str, integers: bool = False
) -> list[Verdict]:
    """Return a verdict for every node, given the refused ones.

    Args:
        graph: the stage.
        refused: by node.
        own: what runs a neuron that is not Lava's LIF, in words.
        integers: parameters are quantised.
    """
    layers = {} if refused else {layer.name: layer for layer in _lower(graph).layers}
    inside = {} if refused else _inside(graph)
    found = []
    for name in graph.order:
        kind = type(graph.nodes[name]).__name__
        if name in refused:
            found.append(Verdict(name, kind, "refused", f"{refused[name].reason}. {refused[name].fix}"))
            continue
        why = inside.get(name) or _rewriting(graph.nodes[name], integers)
        if (layer := layers.get(name)) and not layer.stock:
            why = "; ".join(part for part in (why, own) if part)
        if layer and integers:
            why += _waiting(layer.latency)
        found.append(Verdict(name, kind, "rewritten" if why else "native", why))
    return found


def _inside(graph: ChipGraph) -> dict[str, str]:
    """Return what becomes of the nodes that are one neuron together."""
    said: dict[str, str] = {}
    for name, neuron in folded_neurons(graph).items():
        if neuron.spikes:
            k = "reset by subtraction, at once by K / beta" if neuron.feedback else "without reset"
            said[name] = f"one neuron with '{neuron.membrane}', {k}: exact up to rounding"
            said[neuron.membrane] = f"the membrane of neuron '{name}', read before its reset"
        said |= dict.fromkeys(neuron.feedback, f"the reset of neuron '{name}'")
        if neuron.current:
            said[neuron.current] = f"the synaptic current of neuron '{name}'"
    return said


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
