"""State on the host: a stage's step with its states as arguments and results, `(y[t], h[t]) = f(x[t], h[t-1])`.

The states are those of snnTorch's spiking LSTM cells, which no chip has, and what forward hands itself from step to
step within the stage. `h[-1]` is 0.

Names in the ONNX file, as in `spikeport.export.onnx.step`: `state_in/<place>` and `state_out/<place>` for
every state, `spikes/<neuron>` for every host neuron; `<place>` is `<neuron>/syn`, `<neuron>/mem`, or the argument.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import snntorch
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.firing import require_strict_firing
from spikeport.export.convert.membranes import refuse_changed_reset

STATE_IN, STATE_OUT, HOST_SPIKES = "state_in/", "state_out/", "spikes/"
HOST_NEURONS = (snntorch.SLSTM, snntorch.SConv2dLSTM)
FORGETS = (
    "kept without memory, as snnTorch runs an SLSTM whose input_size is not its hidden_size: it starts each step at 0"
)
# In the order in which the cell takes and returns them.
LSTM_STATES = ("syn", "mem")


@dataclass(frozen=True)
class HostNeuron:
    """A spiking LSTM layer of a host part.

    Attributes:
        name: the layer's name in the part.
        layer: snnTorch's.
    """

    name: str
    layer: Any

    @property
    def forgets(self) -> bool:
        """Return whether every step starts from zero.

        snnTorch's SLSTM compares the shape of its state with that of its input, and starts anew where they differ:
        with input_size other than hidden_size it has no memory, in training as in inference.
        """
        return isinstance(self.layer, snntorch.SLSTM) and self.layer.input_size != self.layer.hidden_size

    @property
    def states(self) -> tuple[str, ...]:
        """The states that live from step to step."""
        return () if self.forgets else LSTM_STATES

    def seen(self) -> dict[str, Tensor]:
        """Return what the layer shows after a step: states, spikes, and how far its membrane exceeds the threshold."""
        above = pooled(self.layer, self.layer.mem) - self.layer.threshold
        found = {f"{STATE_OUT}{self.name}/{state}": getattr(self.layer, state) for state in self.states}
        return found | {HOST_SPIKES + self.name: self.layer.spk, self.name: above}


def host_neurons(module: fx.GraphModule) -> tuple[HostNeuron, ...]:
    """Return the host neurons of a part, in order of execution.

    Raises:
        UnfaithfulError: one has quantised state, a changed reset, or runs twice in a step.
    """
    found: list[HostNeuron] = []
    for node in module.graph.nodes:
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, HOST_NEURONS):
            name = str(node.target)
            _refuse(name, layer, name in {neuron.name for neuron in found})
            found.append(HostNeuron(name, layer))
    return tuple(found)


def _refuse(name: str, layer: Any, again: bool) -> None:
    if again:
        reason = "it is called twice in one step, so that its state advances as often"
        raise UnfaithfulError(f"neuron '{name}'", reason, "Give every place a neuron of its own")
    if layer.state_quant:
        reason = "state_quant rounds its states by a function that the host stage does not have"
        raise UnfaithfulError(f"neuron '{name}'", reason, "Build it without state_quant")
    refuse_changed_reset(name, layer)
    require_strict_firing(name, layer)


def pooled(layer: Any, mem_BCHW: Tensor) -> Tensor:
    """Return the membrane as the layer compares it with its threshold: pooled, where it pools."""
    if getattr(layer, "max_pool", 0):
        return F.max_pool2d(mem_BCHW, layer.max_pool)
    if getattr(layer, "avg_pool", 0):
        return F.avg_pool2d(mem_BCHW, layer.avg_pool)
    return mem_BCHW


class SpikingLSTMStep(nn.Module):
    """One step of SLSTM or SConv2dLSTM: `spk, syn, mem = step(x, syn, mem)`, or `step(x)` where it forgets.

    `syn, mem = LSTM(x, syn, mem)`, then `mem -= reset theta` ("subtract") or `mem -= reset mem` ("zero"), where
    reset is `mem[t-1] > theta`: the reset waits one step, and there is none at the first. syn is never reset. The
    spikes are `pool(mem) > theta`; pooling leaves the states alone.
    """

    def __init__(self, neuron: HostNeuron) -> None:
        super().__init__()
        self.layer = neuron.layer

    def forward(
        self, x_BN: Tensor, syn_BM: Tensor | None = None, mem_BM: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return spikes, syn and mem."""
        layer = self.layer
        if syn_BM is None or mem_BM is None:
            syn_BM = mem_BM = x_BN.new_zeros((x_BN.shape[0], layer.hidden_size))
        reset_BM = (mem_BM - layer.threshold > 0).to(mem_BM.dtype)
        cell = _dense_lstm if isinstance(layer, snntorch.SLSTM) else _convolutional_lstm
        syn_BM, mem_BM = cell(layer, x_BN, syn_BM, mem_BM)
        if layer.reset_mechanism == "subtract":
            mem_BM = mem_BM - reset_BM * layer.threshold
        elif layer.reset_mechanism == "zero":
            mem_BM = mem_BM - mem_BM * reset_BM
        above = pooled(layer, mem_BM) - layer.threshold > 0
        return above.to(mem_BM.dtype) * layer.graded_spikes_factor, syn_BM, mem_BM


def _dense_lstm(layer: Any, x_BN: Tensor, syn_BM: Tensor, mem_BM: Tensor) -> tuple[Tensor, Tensor]:
    mem_BM, syn_BM = layer.lstm_cell(x_BN, (mem_BM, syn_BM))
    return syn_BM, mem_BM


def _convolutional_lstm(layer: Any, x_BN: Tensor, syn_BM: Tensor, mem_BM: Tensor) -> tuple[Tensor, Tensor]:
    gates = layer.conv(torch.cat([x_BN, mem_BM], dim=1))
    i, f, o, g = torch.split(gates, layer.out_channels, dim=1)
    syn_BM = torch.sigmoid(f) * syn_BM + torch.sigmoid(i) * torch.tanh(g)
    return syn_BM, torch.sigmoid(o) * torch.tanh(syn_BM)


@dataclass(frozen=True)
class HostStep:
    """The step of a host part as a function without state of its own.

    Attributes:
        module: the function.
        arguments: what it takes, by the names in the ONNX file, in order.
        results: what it returns, likewise.
    """

    module: fx.GraphModule
    arguments: tuple[str, ...]
    results: tuple[str, ...]


def host_step(part: fx.GraphModule, outputs: tuple[str, ...], loops: Mapping[str, int]) -> HostStep:
    """Return a part's step with its states outside.

    Args:
        part: the traced part; left untouched.
        outputs: the names of its outputs.
        loops: for each argument that carries a value of the step before, the place among the outputs.
    """
    module = copy.deepcopy(part)
    neurons = host_neurons(module)
    given = [str(node.target) for node in module.graph.nodes if node.op == "placeholder"]
    arguments = [STATE_IN + name if name in loops else name for name in given]
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    results = [STATE_OUT + name for name in loops]
    arguments += [f"{STATE_IN}{neuron.name}/{state}" for neuron in neurons for state in neuron.states]
    shown = [_replace(module, neuron) for neuron in neurons]
    for neuron in neurons:
        results += [f"{STATE_OUT}{neuron.name}/{state}" for state in neuron.states]
        results.append(HOST_SPIKES + neuron.name)
    returned = output.args[0] if isinstance(output.args[0], tuple | list) else (output.args[0],)
    extra = [returned[place] for place in loops.values()] + [value for values in shown for value in values]
    output.args = ((*returned, *extra),)
    module.graph.lint()
    module.recompile()
    return HostStep(module, tuple(arguments), (*outputs, *results))


def _replace(module: fx.GraphModule, neuron: HostNeuron) -> list[fx.Node]:
    """Put the neuron's step in its place; return its new states and its spikes."""
    graph = module.graph
    (call,) = (node for node in graph.nodes if node.op == "call_module" and node.target == neuron.name)
    (x,) = call.all_input_nodes
    *_, last = (node for node in graph.nodes if node.op == "placeholder")
    states: list[fx.Node] = []
    for state in neuron.states:
        with graph.inserting_after(states[-1] if states else last):
            states.append(graph.placeholder(f"before_{neuron.name.replace('.', '_')}_{state}"))
    module.set_submodule(neuron.name, SpikingLSTMStep(neuron))
    with graph.inserting_before(call):
        stepped = graph.call_module(neuron.name, (x, *states))
        spikes, *after = (graph.call_function(operator.getitem, (stepped, i)) for i in range(3))
    tuples = not neuron.layer.init_hidden or neuron.layer.output
    call.replace_all_uses_with(stepped if tuples else spikes)
    graph.erase_node(call)
    return [*after[: len(neuron.states)], spikes]
