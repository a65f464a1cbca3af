"""Training with the numbers that Loihi will hold: weights, biases and decays on its grid, gradients passed through.

The forward pass sees quantised values, the backward pass takes rounding and clipping for the identity (the
straight-through estimator, Bengio et al. 2013, arXiv:1308.3432). The grid is the one of deployment
(`spikeport.weight_grid`, `deploy/loihi/quantise.py`): with p the distance of two stored weights,

    weight = k unit,   unit = p threshold / V,   bias = n 2^e threshold / (64 V),   1 - beta = m / 4096

k of the given bits, V (Loihi's vth_mant, the threshold in multiples of 64), n, e and m whole; alpha of a Synaptic is
like beta. So weights that were trained here come out of `quantise` unchanged, unless the samples' membranes need more
than 24 bits and S = 64 V / threshold is halved: then biases are rounded once more, by half of 2^e / S at most. The bias
of a synaptic current is a weight like others, of a source that always spikes.
What a reset by subtraction takes off is the threshold here and beta R / S there, R the whole number nearest to
S threshold / beta: half of beta / S apart at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, log2
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from spikeport.errors import UsageError
from spikeport.models.network import Segment, SpikingNetwork
from spikeport.models.quantised_groups import DECAYS, Group, groups
from spikeport.weight_grid import Values, best_units, levels, stored_step

DECAY_ONE = 4096
ALIGN = 64
BIAS_MANT_MAX = 2**12 - 1
VTH_MANT_MAX = 2**17 - 1
_ROUNDING = 1e-6
"""By how much the threshold may miss a whole number of steps and still be taken for it: weights are float32."""


class FakeQuantised:
    """`network` with its weights, biases and decays as Loihi will hold them.

    Decays are rounded once and for all in the network itself; weights and biases stay as they are there, and are
    rounded in every call, on the grid of the last `refit`.
    """

    def __init__(self, network: SpikingNetwork, weight_bits: int, layers: Mapping[str, int] | None = None) -> None:
        """Find the layers of `network`.

        Args:
            network: of layers with weights and `snntorch.Leaky`, `Synaptic` and `RLeaky` neurons, feed-forward but for
                the layers that these hold themselves.
            weight_bits: 1 to 8.
            layers: others, by the neuron's path in the core.

        Raises:
            UsageError: a neuron or what feeds it has no such grid, `layers` names none of them, or the network has
                several segments with neurons.
        """
        self.network = network
        self._folded = _Folded(network)
        self.core = _single_step(network)
        self.groups = groups(self.core.module, weight_bits, layers or {})
        for group in self.groups:
            _round_decays(self._layer(group.neuron))
        self.units: dict[str, float] = {}
        self.refit()

    def refit(self) -> None:
        """Choose the grid of every layer anew, for its present weights."""
        for group in self.groups:
            held = {path: self._layer(path).weight for path in group.layers}
            if group.current is not None:
                held[f"{group.current}.bias"] = self._layer(group.current).bias
            values = [Values.of(w.detach().double().cpu().numpy().ravel()) for w in held.values()]
            units = best_units(values, group.bits)
            finest = min((unit for unit in units if unit), default=0.0)
            share = _whole_threshold(group, finest) / finest if finest else 1.0
            self.units |= {name: unit * share for name, unit in zip(held, units, strict=True)}

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
        if group.current is not None:
            bias, unit = biases[group.current], self.units[f"{group.current}.bias"]
            return {f"{self.core.name}.{group.current}.bias": _straight(bias, _nearest(bias, unit, group.bits))}
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


def _round_decays(neuron: Any) -> None:
    for name in DECAYS[type(neuron)]:
        decay = getattr(neuron, name)
        steps = round((1 - float(decay)) * DECAY_ONE)
        # A state that decays is never made one that does not.
        decay.fill_(1 - max(steps, 1 if float(decay) < 1 else 0) / DECAY_ONE)
