"""An example of the support table: a model of one thing in a plain frame, and a sample for it.

The frame's layers are called `before`, `other` and `after`; what the table tells is about everything else.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from spikeport.export.shapes import Shape

FRAME = ("before", "other", "after")  # what the rows of the table leave out
STEPS, SAMPLES = 50, 2
VECTOR: Shape = (8,)
LINE: Shape = (2, 8)
IMAGE: Shape = (2, 6, 6)

Make = Callable[[], nn.Module]


@dataclass(frozen=True)
class Case:
    """One example.

    Attributes:
        group: the section of the table.
        subject: the layer, neuron or call that it is about.
        setting: which of its forms, in the user's words.
        make: builds the model.
        shape: of every input, without batch.
        feedback: for each argument of forward that is one of its outputs of the step before, which.
    """

    group: str
    subject: str
    setting: str
    make: Make
    shape: Shape = VECTOR
    feedback: tuple[tuple[str, int], ...] = ()

    def model(self) -> nn.Module:
        """Return the model, in evaluation mode; the same weights every time."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # snnTorch warns of its own settings; the row says what they mean here.
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            return self.make().eval()

    def sample(self) -> dict[str, Tensor]:
        """Return spikes [T, B, *shape] for every argument of forward that nothing of the step before goes into."""
        generator = torch.Generator().manual_seed(1)
        names = [
            n for n in inspect.signature(self.model().forward).parameters if n not in (*STATES, *dict(self.feedback))
        ]
        return {n: (torch.rand(STEPS, SAMPLES, *self.shape, generator=generator) < 0.4).float() for n in names}


STATES = ("spk", "syn", "syn_exc", "syn_inh", "mem")


def leaky(**settings: Any) -> nn.Module:
    """A neuron that fires often and is one node."""
    defaults = {"beta": 0.8, "threshold": 0.4, "reset_mechanism": "zero", "init_hidden": True}
    neuron: nn.Module = snntorch.Leaky(**(defaults | settings))
    return neuron


class Neuron(nn.Module):
    """`it(before(x))`: weights in front of a neuron."""

    def __init__(self, it: nn.Module, before: nn.Module | None = None) -> None:
        super().__init__()
        self.before = before or nn.Linear(8, 8)
        self.it = it

    def forward(self, x: Tensor) -> Any:
        """Return the neuron's spikes."""
        return self.it(self.before(x))


class Layer(nn.Module):
    """`after(it(x))`: a layer in front of a neuron."""

    def __init__(self, it: nn.Module) -> None:
        super().__init__()
        self.it = it
        self.after = leaky(threshold=0.1)

    def forward(self, x: Tensor) -> Any:
        """Return the spikes behind the layer."""
        return self.after(self.it(x))


class Between(Layer):
    """`after(it(before(x)))`: a layer between two others."""

    def __init__(self, before: nn.Module, it: nn.Module) -> None:
        super().__init__(it)
        self.before = before

    def forward(self, x: Tensor) -> Any:
        """Return the spikes behind the layers."""
        return self.after(self.it(self.before(x)))


class OfValue(nn.Module):
    """`after(call(x))`: a function of one input in front of a neuron."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.after = leaky(threshold=0.1)
        self.call = call

    def forward(self, x: Tensor) -> Any:
        """Return the spikes behind the call."""
        return self.after(self.call(x))


class OfCurrents(nn.Module):
    """`after(call(before(x), other(x)))`: a function of two currents in front of a neuron."""

    def __init__(self, call: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
        self.after = leaky(threshold=0.1)
        self.call = call

    def forward(self, x: Tensor) -> Any:
        """Return the spikes behind the call."""
        return self.after(self.call(self.before(x), self.other(x)))


class First(nn.Module):
    """The first of what a layer returns: a neuron's spikes without its membrane."""

    def __init__(self, it: nn.Module) -> None:
        super().__init__()
        self.it = it

    def forward(self, x: Tensor) -> Any:
        """Return the first of what `it` returns."""
        return self.it(x)[0]


class FirstOf(nn.Module):
    """The first of a list of layers, one for every time step."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Any:
        """Return what the first layer makes of `x`."""
        return self.layers[0](x)
