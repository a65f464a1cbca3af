"""Training with the numbers that Loihi will hold: weights, biases and decays on its grid, gradients passed through.

The forward pass sees quantised values, the backward pass takes rounding and clipping for the identity (the
straight-through estimator, Bengio et al. 2013, arXiv:1308.3432). The grid is the one of deployment
(`spikeport.weight_grid`, `deploy/loihi/quantise.py`): with p the distance of two stored weights,

    weight = k unit,   unit = p threshold / V,   bias = n 2^e threshold / (64 V),   1 - beta = m / 4096

k of the given bits, V (Loihi's vth_mant, the threshold in multiples of 64), n, e and m whole. So weights that were
trained here come out of `quantise` unchanged, unless the samples' membranes need more than 24 bits and S is halved:
then biases are rounded once more, by half of 2^e / S at most.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log2
from typing import Any

import torch
from snntorch import Leaky, SpikingNeuron
from torch import Tensor, fx, nn
from torch.func import functional_call

from spikeport.errors import UsageError, did_you_mean
from spikeport.models.folded import one_step
from spikeport.models.network import Segment, SpikingNetwork
from spikeport.weight_grid import Values, best_units, levels, stored_step

DECAY_ONE = 4096
ALIGN = 64
BIAS_MANT_MAX = 2**12 - 1
VTH_MANT_MAX = 2**17 - 1
_ROUNDING = 1e-6
"""By how much the threshold may miss a whole number of steps and still be taken for it: weights are float32."""
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
_PASSED = (nn.Flatten, nn.Identity)


@dataclass(frozen=True)
class Group:
    """A neuron and the layers whose outputs it sums.

    Attributes:
        neuron: its path in the core.
        layers: their paths, in the core.
        bits: of their weights.
        threshold: of the neuron.
    """

    neuron: str
    layers: tuple[str, ...]
    bits: int
    threshold: float


class FakeQuantised:
    """`network` with its weights, biases and decays as Loihi will hold them.

    Decays are rounded once and for all in the network itself; weights and biases stay as they are there, and are
    rounded in every call, on the grid of the last `refit`.
    """

    def __init__(self, network: SpikingNetwork, weight_bits: int, layers: Mapping[str, int] | None = None) -> None:
        """Find the layers of `network`.

        Args:
            network: feed-forward, of zero-reset `snntorch.Leaky` and layers with weights.
            weight_bits: 1 to 8.
            layers: others, by the neuron's path in the core.

        Raises:
            UsageError: a neuron or what feeds it has no such grid, `layers` names none of them, or the network has
                several segments with neurons.
        """
        self.network = network
        self._folded = _Folded(network)
        self.core = _single_step(network)
        self.groups = _groups(self.core.module, weight_bits, dict(layers or {}))
        for group in self.groups:
            _round_decay(self._layer(group.neuron))
        self.units: dict[str, float] = {}
        self.refit()

    def refit(self) -> None:
        """Choose the grid of every layer anew, for its present weights."""
        for group in self.groups:
            weights = [self._layer(path).weight.detach().double().cpu().numpy() for path in group.layers]
            units = best_units([Values.of(w.ravel()) for w in weights], group.bits)
            finest = min((unit for unit in units if unit), default=0.0)
            share = _whole_threshold(group, finest) / finest if finest else 1.0
            self.units |= {path: unit * share for path, unit in zip(group.layers, units, strict=True)}

    def parameters(self) -> dict[str, Tensor]:
        """Return the quantised weights and biases by the name that they have in the network."""
        found: dict[str, Tensor] = {}
        for group in self.groups:
            for path in group.layers:
                weight = self._layer(path).weight
                found[f"{self.core.name}.{path}.weight"] = _straight(
                    weight, _nearest(weight, self.units[path], group.bits)
                )
            found |= self._biases(group)
        return found

    def __call__(self, inputs: Mapping[str, Tensor], folded: bool = False) -> Tensor:
        """Return what the network gives with quantised numbers; `folded` is faster, for training."""
        parameters = self.parameters()
        if folded:
            given = {f"network.{name}": value for name, value in parameters.items()}
            logits_BK: Tensor = functional_call(self._folded, given, (inputs,))
            return logits_BK
        stepped_BK: Tensor = functional_call(self.network, parameters, (inputs,))
        return stepped_BK

    def state_dict(self) -> dict[str, Tensor]:
        """Return the network's state with the quantised numbers in it: what is to be exported."""
        return {**self.network.state_dict(), **{name: value.detach() for name, value in self.parameters().items()}}

    def _layer(self, path: str) -> Any:
        return self.core.module.get_submodule(path)

    def _biases(self, group: Group) -> dict[str, Tensor]:
        biases = {p: self._layer(p).bias for p in group.layers if self._layer(p).bias is not None}
        finest = min((self.units[path] for path in group.layers if self.units[path]), default=0.0)
        if not biases or not finest:
            return {}
        # What S is in deployment.
        scale = ALIGN * stored_step(group.bits) / finest
        # The deployed bias is the sum; a bound on it spares adding biases of different shapes.
        most = sum(float(bias.detach().abs().max()) for bias in biases.values()) * scale
        step = 2.0 ** max(0, ceil(log2(max(most, 1.0) / BIAS_MANT_MAX))) / scale
        return {
            f"{self.core.name}.{p}.bias": _straight(bias, torch.round(bias / step) * step) for p, bias in biases.items()
        }


class _Folded(nn.Module):
    """`forward_folded` as a module's call, which is what `functional_call` calls."""

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the network's answer."""
        return self.network.forward_folded(inputs)


def _single_step(network: SpikingNetwork) -> Segment:
    steps = [segment for segment in network.segments if segment.form == "step"]
    if len(steps) > 1:
        names = ", ".join(segment.name for segment in steps)
        reason = f"it has neurons in several segments ({names}), and quantised training knows networks of one"
        raise UsageError("the network", reason, "Train it without quantisation")
    return steps[0]


def _straight(latent: Tensor, quantised: Tensor) -> Tensor:
    """Return exactly `quantised`, with the gradient going to `latent`."""
    return quantised.detach() + (latent - latent.detach())


def _nearest(weight: Tensor, unit: float, bits: int) -> Tensor:
    if unit == 0:
        return weight
    if bits == 1:
        return torch.sign(weight) * unit
    low, high = levels(bits)
    return torch.clamp(torch.round(weight / unit), low, high) * unit


def _whole_threshold(group: Group, unit: float) -> float:
    """Return the unit made larger so that the threshold is a whole number of steps of it."""
    whole = min(floor(stored_step(group.bits) * group.threshold / unit * (1 + _ROUNDING)), VTH_MANT_MAX)
    if whole < 1:
        reason = f"its weights' unit is {unit:g}, {unit / group.threshold:.3g} of its threshold"
        raise UsageError(f"neuron '{group.neuron}'", reason, "Make the weights smaller against the threshold")
    return stored_step(group.bits) * group.threshold / whole


def _round_decay(neuron: Any) -> None:
    steps = round((1 - float(neuron.beta)) * DECAY_ONE)
    neuron.beta.fill_(1 - steps / DECAY_ONE)


def _groups(core: nn.Module, weight_bits: int, by_neuron: dict[str, int]) -> list[Group]:
    graph = one_step(core)
    modules = dict(core.named_modules())
    found = []
    for node in graph.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], SpikingNeuron):
            continue
        neuron = modules[node.target]
        _check_neuron(node.target, neuron)
        layers = tuple(_feeding(node.args[0], node.target, modules))
        bits = by_neuron.get(node.target, weight_bits)
        found.append(Group(node.target, layers, bits, float(neuron.threshold)))
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


def _check_neuron(path: str, neuron: SpikingNeuron) -> None:
    plain = type(neuron) is Leaky and neuron.reset_mechanism == "zero" and neuron.threshold.numel() == 1
    if not plain or neuron.beta.requires_grad or neuron.threshold.requires_grad or neuron.beta.numel() != 1:
        reason = "only a zero-reset Leaky with a fixed beta and threshold keeps to Loihi's grid in training"
        raise UsageError(f"neuron '{path}'", reason, "Train it without quantisation")
