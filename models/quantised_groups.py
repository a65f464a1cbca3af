"""Which layers share a grid in quantised training: a neuron's, with all that its membrane adds up.

What has no grid of Loihi's is refused here, before anything is trained.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from snntorch import Leaky, RLeaky, SpikingNeuron, Synaptic
from torch import fx, nn

from spikeport.errors import UsageError, did_you_mean
from spikeport.models.folded import one_step

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
DECAYS: dict[type, tuple[str, ...]] = {Leaky: ("beta",), RLeaky: ("beta",), Synaptic: ("alpha", "beta")}
"""What each kind of neuron that has a grid keeps of its states from step to step."""
_PASSED = (nn.Flatten, nn.Identity)


@dataclass(frozen=True)
class Group:
    """A neuron and the layers whose outputs it sums.

    Attributes:
        neuron: its path in the core.
        layers: their paths, in the core, the neuron's own recurrent layer among them.
        bits: of their weights.
        threshold: of the neuron.
        current: the layer whose bias enters a synaptic current, where it is a weight from a source that always spikes.
    """

    neuron: str
    layers: tuple[str, ...]
    bits: int
    threshold: float
    current: str | None = None


def groups(core: nn.Module, weight_bits: int, by_neuron: Mapping[str, int]) -> list[Group]:
    """Return the groups of `core`, one for each neuron.

    Args:
        core: one step.
        weight_bits: of all layers but those that `by_neuron` has others for.
        by_neuron: bits by the neuron's path.

    Raises:
        UsageError: a neuron or what feeds it has no such grid, or `by_neuron` names none of them.
    """
    graph = one_step(core)
    modules = dict(core.named_modules())
    found = []
    for node in graph.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], SpikingNeuron):
            continue
        neuron = modules[node.target]
        _check_neuron(node.target, neuron)
        layers = (*_feeding(node.args[0], node.target, modules), *_recurrent(node.target, neuron))
        bits = by_neuron.get(node.target, weight_bits)
        current = _into_current(node.target, neuron, [p for p in layers if core.get_submodule(p).bias is not None])
        found.append(Group(node.target, layers, bits, float(neuron.threshold), current))
    for name in by_neuron:
        if name not in (known := [group.neuron for group in found]):
            raise UsageError(f"quantisation of '{name}'", "the core has no such neuron", did_you_mean(name, known))
    return found


def _feeding(node: fx.Node, neuron: str, modules: Mapping[str, nn.Module]) -> list[str]:
    """Return the layers whose sum `node` is."""
    if node.op == "call_function" and node.target in (operator.add, torch.add):
        return [path for part in node.args if isinstance(part, fx.Node) for path in _feeding(part, neuron, modules)]
    if node.op == "call_module" and isinstance(module := modules[str(node.target)], (*WEIGHTED, *_PASSED)):
        (before,) = node.all_input_nodes
        if isinstance(module, WEIGHTED):
            _check_source(before, neuron, modules)
            return [str(node.target)]
        return _feeding(before, neuron, modules)
    reason = f"'{node.name}' feeds it, and only sums of Linear and Conv layers have a grid here"
    raise UsageError(f"neuron '{neuron}'", reason, "Train it without quantisation")


def _check_source(node: fx.Node, neuron: str, modules: Mapping[str, nn.Module]) -> None:
    while node.op == "call_module" and isinstance(modules[str(node.target)], _PASSED):
        (node,) = node.all_input_nodes
    spikes = node.op == "call_module" and isinstance(modules[str(node.target)], SpikingNeuron)
    if node.op != "placeholder" and not spikes:
        reason = f"'{node.name}' is composed with the layer that feeds it, and the product is on no grid"
        raise UsageError(f"neuron '{neuron}'", reason, "Feed the layer with spikes, or train without quantisation")


def _recurrent(path: str, neuron: Any) -> tuple[str, ...]:
    """Return the layer by which a neuron hears itself."""
    if not isinstance(neuron, RLeaky):
        return ()
    if not isinstance(neuron.recurrent, WEIGHTED):
        reason = "each of its neurons hears itself alone, and only Linear and Conv layers have a grid here"
        raise UsageError(f"neuron '{path}'", reason, "Choose all_to_all=True, or train it without quantisation")
    return (f"{path}.recurrent",)


def _into_current(path: str, neuron: Any, biased: list[str]) -> str | None:
    """Return the layer whose bias enters a synaptic current."""
    if not isinstance(neuron, Synaptic) or not biased:
        return None
    if len(biased) > 1:
        reason = f"the biases of {' and '.join(biased)} enter its current as one synapse, which has a single weight"
        raise UsageError(f"neuron '{path}'", reason, "Leave the bias to one of the layers: bias=False in the others")
    return biased[0]


def _check_neuron(path: str, neuron: Any) -> None:
    if reason := _no_grid(neuron):
        raise UsageError(f"neuron '{path}'", reason, "Train it without quantisation")


def _no_grid(neuron: Any) -> str | None:
    """Return why a neuron does not keep to Loihi's grid in training."""
    kind, reset = type(neuron), neuron.reset_mechanism
    if kind not in DECAYS:
        return f"it is {kind.__name__}, and only {', '.join(k.__name__ for k in DECAYS)} have a grid here"
    if reset == "zero" and kind is not Leaky:
        return f"{kind.__name__} with reset_mechanism='zero' drops the step's input too, which no chip does"
    if reset == "subtract" and not neuron.reset_delay:
        return "reset_delay=False compares twice in a step, and only the default reset is one neuron of a chip"
    if neuron.inhibition or neuron.state_quant or float(neuron.graded_spikes_factor) != 1.0:
        return "inhibition, state_quant and graded spikes have no integers here"
    numbers = [getattr(neuron, name) for name in (*DECAYS[kind], "threshold")]
    if any(number.requires_grad or number.numel() != 1 for number in (*numbers, neuron.graded_spikes_factor)):
        return "it has no fixed beta, alpha and threshold, one for all: Loihi's grid follows from them"
    if reset == "subtract" and float(neuron.beta) == 0:
        return "beta=0 forgets what a reset takes off before it counts"
    return None
