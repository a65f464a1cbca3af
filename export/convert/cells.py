"""The step form of snnTorch's window neurons, and its converter.

Shapes: B batch, N neurons, M what feeds them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor

from spikeport.export.convert.builder import Array, Builder, Rewrite, Signal, Tap, full
from spikeport.export.convert.layers import converts
from spikeport.export.convert.membranes import leaky_integrator, threshold
from spikeport.export.convert.neurons import graded
from spikeport.export.convert.stepping import StepCell
from spikeport.export.shapes import Shape


@dataclass(frozen=True)
class Recurrence:
    """What a window neuron computes, step by step.

    `x[t] = W input[t] + b`, `U[t] = d U[t-1] + x[t] - d^K x[t-K]`, spikes `f (U[t] > theta)`, without reset.

    Attributes:
        decay: d, in float64: one value, or one a neuron.
        theta: the threshold; `None` where the neuron shows its membrane only.
        factor: f.
        weight: W [N, M], or `None` for none.
        bias: b [N], or `None` for none.
        memory_steps: K, or `None` where the neuron forgets nothing at once.
        returns_membrane: whether a call returns spikes and membrane.
        notes: the rewrites, in words, each with its bound.
    """

    decay: Array
    theta: Array | None
    factor: Array
    weight: Array | None = None
    bias: Array | None = None
    memory_steps: int | None = None
    returns_membrane: bool = True
    notes: tuple[tuple[str, str], ...] = ()


class LeakyCell(StepCell):
    """One step of a `Recurrence`, in float64: `forward(x_BM) -> spk_BN`, `(spk_BN, mem_BN)` or `mem_BN`."""

    def __init__(self, recurrence: Recurrence) -> None:
        super().__init__()
        self.recurrence = recurrence
        theta = np.inf if recurrence.theta is None else recurrence.theta
        self.threshold = torch.as_tensor(theta, dtype=torch.float64)
        self.graded_spikes_factor = torch.as_tensor(recurrence.factor)
        self.mem = torch.zeros(0)
        self.returns_tuple = recurrence.theta is not None and recurrence.returns_membrane

    def forward(self, x_BM: Tensor) -> Any:
        """Take one step."""
        form = self.recurrence
        drive = x_BM.double()
        if form.weight is not None:
            drive = drive @ torch.as_tensor(form.weight, dtype=torch.float64).T
        if form.bias is not None:
            drive = drive + torch.as_tensor(form.bias, dtype=torch.float64)
        if self.mem.shape != drive.shape:  # the start of a sample
            self.mem = torch.zeros_like(drive)
            self.past: deque[Tensor] = deque([self.mem] * (form.memory_steps or 0), form.memory_steps or 0)
        decay = torch.as_tensor(form.decay)
        self.mem = decay * self.mem + drive
        if form.memory_steps:
            self.mem = self.mem - decay**form.memory_steps * self.past[0]
            self.past.append(drive)
        mem = self.mem.to(x_BM.dtype)
        if form.theta is None:
            return mem
        spk = ((self.mem > self.threshold) * self.graded_spikes_factor).to(x_BM.dtype)
        return (spk, mem) if self.returns_tuple else spk


@converts(LeakyCell)
def leaky_cell(builder: Builder, name: str, layer: LeakyCell, signal: Signal, shape: Shape) -> Signal:
    """Linear (of the neuron's own weights) -> LI -> Threshold; a kernel cut off after K taps adds Delay -> Scale."""
    form = layer.recurrence
    builder.rewrites += [Rewrite(name, what, bound) for what, bound in form.notes]
    if form.weight is not None:
        node = nir.Linear(form.weight) if form.bias is None else nir.Affine(form.weight, form.bias)
        signal = builder.add(builder.name(f"{name}_linear"), node, signal, shape)
    decay = full(form.decay, shape, name)
    drive = signal
    if form.memory_steps:
        wait = nir.Delay(delay=np.full(shape, form.memory_steps * builder.dt_s))
        forgotten = builder.add(builder.name(f"{name}_delay"), wait, signal)
        scale = nir.Scale(scale=-(decay**form.memory_steps))
        drive = signal + builder.add(builder.name(f"{name}_forget"), scale, forgotten)
    spiking = form.theta is not None
    membrane_name = builder.name(f"{name}_membrane") if spiking else name
    membrane = builder.add(membrane_name, leaky_integrator(name, decay, builder.dt_s), drive)
    builder.taps[membrane_name] = Tap(builder.call, "mem")
    if not spiking:
        return membrane
    spikes = builder.add(name, nir.Threshold(threshold=threshold(name, layer, shape)), membrane)
    builder.taps[name] = Tap(builder.call)
    return graded(builder, name, layer, spikes)
