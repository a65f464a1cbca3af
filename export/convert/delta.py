"""snnTorch's DeltaLeaky, which fires where its membrane moves by more than a threshold in one step.

Shapes: B batch, N neurons.
"""

from __future__ import annotations

from typing import Literal

import nir
import numpy as np
import snntorch
import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Builder, Rewrite, Signal, Tap, full
from spikeport.export.convert.firing import require_strict_firing
from spikeport.export.convert.layers import array, converts
from spikeport.export.convert.membranes import LAYER, leaky_integrator
from spikeport.export.convert.stepping import StepCell
from spikeport.export.shapes import Shape

IGNORED = "threshold, reset_mechanism, graded_spikes_factor and inhibition do nothing in DeltaLeaky, nor here"
FORM = "|U[t] - U[t-1]| > theta as two Thresholds, one on the rise and one on the fall, behind LI and a Delay of a step"


class DeltaCell(StepCell):
    """DeltaLeaky's step, which shows rise and fall apart: `forward(x_BN) -> (spk_BN, (mem_BN, mem_before_BN))`."""

    states = ("states",)

    def __init__(self, layer: LAYER) -> None:
        super().__init__()
        self.beta = layer.beta
        self.delta_threshold = torch.as_tensor(layer.delta_threshold)
        self.mem = torch.zeros(0)

    def forward(self, x_BN: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Take one step; the decay is not clamped."""
        before = self.mem if self.mem.shape == x_BN.shape else torch.zeros_like(x_BN)
        self.mem = self.beta * before + x_BN
        moved = self.mem - before
        self.rise = (moved > self.delta_threshold).to(x_BN.dtype)
        self.fall = (-moved > self.delta_threshold).to(x_BN.dtype)
        return self.rise + self.fall, (self.mem, before)


def use_delta_cells(model: nn.Module) -> None:
    """Put a DeltaCell in the place of every DeltaLeaky below `model`.

    Raises:
        UnfaithfulError: one takes its state as a tuple.
    """
    cells: dict[nn.Module, DeltaCell] = {}
    for name, layer in [*model.named_modules(remove_duplicate=False)]:
        if type(layer) is not snntorch.DeltaLeaky or not name:
            continue
        if not layer.init_hidden:
            raise UnfaithfulError(
                f"neuron '{name}'", "it takes its states by hand, as a tuple", "Build it with init_hidden=True"
            )
        require_strict_firing(name, layer)
        model.set_submodule(name, cells.setdefault(layer, DeltaCell(layer)))


@converts(DeltaCell)
def delta_leaky(builder: Builder, name: str, layer: DeltaCell, signal: Signal, shape: Shape) -> Signal:
    """`U[t] = beta U[t-1] + I[t]`, spikes `|U[t] - U[t-1]| > delta_threshold`, without reset."""
    beta, theta = full(array(layer.beta), shape, name), full(array(layer.delta_threshold), shape, name)
    for what, value, low, high in (("beta", beta, 0.0, 1.0), ("delta_threshold", theta, 0.0, np.inf)):
        wrong = value[(value < low) | (value > high)]
        if wrong.size:
            raise UnfaithfulError(
                f"neuron '{name}'",
                f"its {what} is {wrong[0]:.4g}, outside of {low:g} to {high:g}, and DeltaLeaky does not clamp it",
                f"Clamp its {what}",
            )
    membrane_name = builder.name(f"{name}_membrane")
    membrane = builder.add(membrane_name, leaky_integrator(name, beta, builder.dt_s), signal)
    late = builder.add(builder.name(f"{name}_before"), nir.Delay(delay=np.full(shape, builder.dt_s)), membrane)
    spikes = []
    pairs: dict[Literal["rise", "fall"], tuple[Signal, Signal]] = {"rise": (membrane, late), "fall": (late, membrane)}
    for sign, (plus, minus) in pairs.items():
        negated = builder.add(builder.name(f"{name}_{sign}_minus"), nir.Scale(scale=np.full(shape, -1.0)), minus)
        node = builder.name(f"{name}_{sign}")
        spikes.append(builder.add(node, nir.Threshold(threshold=theta), plus + negated))
        builder.taps[node] = Tap(builder.call, sign)
    builder.taps[membrane_name] = Tap(builder.call, "mem")
    builder.rewrites += [Rewrite(name, FORM), Rewrite(name, IGNORED)]
    return spikes[0] + spikes[1]
