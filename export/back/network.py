"""The whole network: NIR nodes as layers and neurons of one torch.fx module that computes one time step."""

from __future__ import annotations

import keyword
import operator
import re

import nir
import numpy as np
import torch
from torch import Tensor, fx, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.back.cells import Cell, find_cells
from spikeport.export.back.dynamics import equal
from spikeport.export.back.layers import constant, layer
from spikeport.export.back.neurons import SpikeGrad, neuron
from spikeport.export.convert import Conversion, Rewrite, Tap
from spikeport.export.convert.states import Carried
from spikeport.export.convert.trace import Trace
from spikeport.export.graph import ChipGraph, delay_steps


def to_snntorch(graph: ChipGraph, dtype: torch.dtype = torch.float32, spike_grad: SpikeGrad = None) -> nn.Module:
    """Return `graph` as a trainable snnTorch network.

    Its forward computes one time step from one tensor [B, *shape] an input node, by the input nodes' names, and
    returns what the output nodes show: a tensor, or a tuple of several. Neurons keep their state
    (`init_hidden=True`); `snntorch.utils.reset(net)` starts a sample. Weights are parameters; decays, thresholds and
    Scales are buffers.

    Args:
        graph: a chip graph.
        dtype: of all parameters.
        spike_grad: snnTorch's surrogate gradient, `None` for its default.

    Raises:
        UnfaithfulError: a node has no form in snnTorch; the message names it, the reason and the fix.
    """
    return imported(graph, dtype, spike_grad).trace.module


def imported(graph: ChipGraph, dtype: torch.dtype = torch.float32, spike_grad: SpikeGrad = None) -> Conversion:
    """Return what `to_snntorch` does as a `Conversion`, whose `trace.module` is the network.

    `export.verify.verify(imported(graph), inputs_TB)` audits it at every neuron node.

    Raises:
        UnfaithfulError: see `to_snntorch`.
    """
    return _Assembly(graph, dtype, spike_grad).build()


class _Assembly:
    def __init__(self, graph: ChipGraph, dtype: torch.dtype, spike_grad: SpikeGrad) -> None:
        _refuse_delays(graph)
        self.graph = graph
        self.dtype = dtype
        self.spike_grad = spike_grad
        self.cells = {cell.entry: cell for cell in find_cells(graph, dtype)}
        self.inner = frozenset[str]().union(*(cell.nodes for cell in self.cells.values()))
        self.root = nn.Module()
        self.fx = fx.Graph()
        self.values: dict[str, fx.Node] = {}
        self.taps: dict[str, Tap] = {}
        self.rewrites: list[Rewrite] = []

    def build(self) -> Conversion:
        """Return the network and where it shows each node."""
        names = {name: _identifier(name) for name in self.graph.inputs}
        for name in self.graph.inputs:
            self.values[name] = self.fx.placeholder(names[name])
        for name in self.graph.order:
            if name in self.cells:
                self._neuron(self.cells[name])
            elif name not in self.inner and name not in self.values:
                self.values[name] = self._stateless(name)
        shown = [self.values[name] for name in self.graph.outputs]
        self.fx.output(shown[0] if len(shown) == 1 else tuple(shown))
        self.fx.lint()
        module = fx.GraphModule(self.root, self.fx, class_name="SpikingStep")
        carried = Carried(tuple(names.values()), {}, tuple(range(len(shown))), {})
        trace = Trace(module, self.graph.inputs, {}, carried)
        outputs = {name: self.values[name].name for name in self.graph.outputs}
        return Conversion(self.graph, trace, self.taps, outputs, tuple(self.rewrites))

    def _stateless(self, name: str) -> fx.Node:
        node = self.graph.nodes[name]
        arriving = self._arriving(name, self.graph.predecessors[name])
        if isinstance(node, nir.Scale):
            return self._multiply(name, arriving, np.asarray(node.scale, dtype=np.float64))
        module = layer(node, self.graph.shapes[self.graph.predecessors[name][0]], self.dtype)
        return arriving if module is None else self.fx.call_module(self._add(name, module), (arriving,))

    def _neuron(self, cell: Cell) -> None:
        loops = cell.loops
        sources = [u for u in self.graph.predecessors[cell.entry] if (u, cell.entry) not in loops]
        current = self._arriving(cell.entry, sources)
        if not equal(cell.dynamics.drive, 1.0, self.dtype):
            current = self._multiply(f"{cell.name}_drive", current, cell.dynamics.drive)
            self.rewrites.append(Rewrite(cell.name, "dt/tau r as a factor before the neuron"))
        read = cell.spikes is None or any(self._read(cell, n) for n in (cell.membrane, cell.current) if n)
        module = neuron(self.graph, cell, read, self.dtype, self.spike_grad)
        call = self.fx.call_module(self._add(cell.name, module), (current,))
        self.rewrites.append(Rewrite(cell.name, f"{', '.join(sorted(cell.nodes))} as {type(module).__name__}"))
        if cell.membrane:
            self.taps[cell.membrane] = Tap(call.name, "mem")
        if cell.current:
            self.taps[cell.current] = Tap(call.name, "syn")
        if cell.spikes:
            self.taps[cell.spikes] = Tap(call.name)
            self.values[cell.spikes] = self._item(call, 0) if read else call
        # Behind the spikes: the membrane, or the current and the membrane.
        if read and cell.membrane:
            self.values[cell.membrane] = self._item(call, 1 if cell.dynamics.alpha is None else 2)
        if cell.current and self._read(cell, cell.current):
            self.values[cell.current] = self._item(call, 1)

    def _read(self, cell: Cell, name: str) -> bool:
        """Return whether a node outside of `cell` reads `name`, one of its states."""
        return any(u == name and w not in cell.nodes for u, w in self.graph.edges)

    def _item(self, call: fx.Node, index: int) -> fx.Node:
        return self.fx.call_function(operator.getitem, (call, index))

    def _arriving(self, name: str, sources: tuple[str, ...] | list[str]) -> fx.Node:
        if not sources:
            raise UnfaithfulError(
                f"neuron '{name}'", "nothing but its own loop feeds it", "Feed it, if only through weights of 0"
            )
        total = self.values[sources[0]]
        for source in sources[1:]:
            total = self.fx.call_function(operator.add, (total, self.values[source]))
        return total

    def _multiply(self, name: str, value: fx.Node, factor: np.ndarray) -> fx.Node:
        target = self._add(name, constant(factor, self.dtype))
        return self.fx.call_function(operator.mul, (value, self.fx.get_attr(target)))

    def _add(self, wanted: str, value: nn.Module | Tensor) -> str:
        """Add a layer or a buffer under a free name near `wanted`."""
        name = _identifier(wanted)
        while hasattr(self.root, name) or hasattr(fx.GraphModule, name):
            name += "_"
        if isinstance(value, Tensor):
            self.root.register_buffer(name, value)
        else:
            self.root.add_module(name, value)
        return name


def _identifier(name: str) -> str:
    """Return `name` as a Python name."""
    plain = re.sub(r"\W", "_", name)
    return f"_{plain}" if plain[:1].isdigit() else f"{plain}_" if keyword.iskeyword(plain) else plain


def _refuse_delays(graph: ChipGraph) -> None:
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Delay) and (steps := delay_steps(name, node, graph.dt_s)):
            raise UnfaithfulError(
                f"node '{name}'",
                f"it delays by {steps} steps, and snnTorch has no delay line",
                "Train without it; the .nir file runs as it is",
            )
