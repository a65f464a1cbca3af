"""Networks of window neurons, and the plain loops that they are held against."""

from __future__ import annotations

import numpy as np
import snntorch as snn
import torch
from export_nets import DT, samples
from torch import Tensor, nn

from spikeport.export.audit import Agreement
from spikeport.export.convert import Conversion, convert
from spikeport.export.convert.window import window_model
from spikeport.export.recording import Recording
from spikeport.export.verify import verify


class First(nn.Module):
    """The spikes alone, of a neuron that returns its membrane too."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x):
        return self.neuron(x)[0]


class Wired(nn.Module):
    """A forward given as a function over a stock of layers."""

    def __init__(self, forward):
        super().__init__()
        self.fc, self.out = nn.Linear(8, 8), nn.Linear(8, 4)
        nn.init.normal_(self.fc.weight, std=0.7)
        nn.init.normal_(self.out.weight, std=0.7)
        self.l1, self.l2 = snn.StateLeaky(0.7, 8), snn.StateLeaky(torch.linspace(0.1, 0.9, 4), 4)
        self.par = nonnegative(snn.LeakyParallel(8, 8, beta=0.5))
        self.step = snn.Leaky(0.9, init_hidden=True)
        self.conv, self.pool, self.bn = nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.BatchNorm1d(8)
        self.wired = forward

    def forward(self, x):
        return self.wired(self, x)


def nonnegative(layer: nn.Module) -> nn.Module:
    """The weights of an RNN, none below 0."""
    for name, p in layer.named_parameters():
        if "weight_ih" in name or "bias" in name:
            p.data.abs_()
    return layer


def window_recording(model: nn.Module, x_TB: Tensor) -> tuple[Conversion, Recording]:
    named = samples(model, x_TB)
    window = window_model(model, named)
    assert window is not None
    conversion = convert(window.step, {n: x[0] for n, x in named.items()}, DT)
    return conversion, window.record(conversion, named)


def audited(model: nn.Module, x_TB: Tensor) -> tuple[Conversion, Agreement]:
    """Convert, and audit against the window network's own forward; its outputs are among what is compared."""
    conversion, recording = window_recording(model, x_TB)
    agreement = verify(conversion, samples(model, x_TB), recording)
    with torch.no_grad():
        returned = model.eval()(x_TB)
    for name, wanted in zip(conversion.outputs, returned if isinstance(returned, tuple) else (returned,), strict=True):
        np.testing.assert_array_equal(recording.nodes[name], wanted.numpy())
    return conversion, agreement


def loop(x_TBN, decay, memory_steps: int | None = None) -> np.ndarray:
    """The membrane by the textbook, in float64."""
    x = np.asarray(x_TBN, dtype=float)
    v, rows = np.zeros(x.shape[1:]), []
    for t in range(len(x)):
        v = decay * v + x[t]
        if memory_steps and t >= memory_steps:
            v = v - decay**memory_steps * x[t - memory_steps]
        rows.append(v)
    return np.stack(rows)
