"""What all forms are made of: LIF neurons, patch embedding, position, MLP.

Tokens keep their place in the picture, [B, C, H, W], so that the 1x1 convolutions of a transformer are NIR's Conv2d.
Every layer takes its activation from outside: a LIF in the spiking network, a ReLU in its ANN twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from spikeport.models.folded import detach_membrane
from spikeport.models.scmrl.params import ScmrlParams, Stage
from spikeport.models.surrogate import SigmoidSurrogate

Activation = Callable[[], nn.Module]


@dataclass(frozen=True)
class Neurons:
    """What makes each kind of neuron: LIFs in the spiking network, something else in its ANN twin.

    Attributes:
        plain: everywhere.
        attention: behind the attention's products.
        align: in the semantic alignment layer.
        slow: the chip form's traces.
        both: of two arguments, the chip form's coincidences.
    """

    plain: Activation
    attention: Activation
    align: Activation
    slow: Activation
    both: Activation


def lif(params: ScmrlParams, v_threshold: float | None = None, tau: float | None = None) -> nn.Module:
    """Return the neurons `v += (I - v) / tau`, spike where v > v_threshold (`params.fires`), v = 0 where they spiked.

    Held as `u = tau v`, `u[t] = (1 - 1/tau) u[t-1] + I` with threshold `tau v_threshold`: a snnTorch Leaky takes its
    input unscaled. The surrogate, taken in u, has the slope divided by tau. `u >= threshold` is `u >` the number before
    it in single precision, so that a NIR node can say it.
    """
    tau = tau or params.tau
    threshold = tau * (v_threshold or params.v_threshold)
    if params.fires_at_threshold:
        threshold = float(torch.nextafter(torch.tensor(threshold), torch.tensor(0.0)))
    neuron: nn.Module = snntorch.Leaky(
        beta=1 - 1 / tau,
        threshold=threshold,
        spike_grad=SigmoidSurrogate(params.slope / tau),
        init_hidden=True,
        reset_mechanism="zero",
    )
    return detach_membrane(neuron) if params.has("detached-membrane") else neuron


class ConvNeuron(nn.Sequential):
    """Convolution, batch norm, activation."""

    def __init__(self, before: int, after: int, activation: nn.Module, bias: bool = False, **geometry: Any) -> None:
        conv = nn.Conv2d(before, after, **({"kernel_size": 1} | geometry), bias=bias)
        super().__init__(conv, nn.BatchNorm2d(after), activation)


def patch_embedding(stages: tuple[Stage, ...], channels: int, activation: Activation) -> nn.Sequential:
    """Return the stages of one modality, for an input of `channels`."""
    layers: list[nn.Module] = []
    for stage in stages:
        geometry: dict[str, Any] = {"kernel_size": stage.kernel, "stride": stage.stride, "padding": stage.padding}
        layers.append(ConvNeuron(channels, stage.channels, activation(), **geometry))
        if stage.pool:
            layers.append(nn.MaxPool2d(3, 2, 1))
        channels = stage.channels
    return nn.Sequential(*layers)


class Position(nn.Module):
    """`x + LIF(BN(Conv3x3(x)))`: values 0, 1 and 2."""

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.block = ConvNeuron(channels, channels, activation(), kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens with their place."""
        out: Tensor = x + self.block(x)
        return out


class Mlp(nn.Module):
    """`x + LIF(BN(W2 LIF(BN(W1 x + b1)) + b2))`, each token by itself."""

    def __init__(self, channels: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.up = ConvNeuron(channels, hidden, activation(), bias=True)
        self.down = ConvNeuron(hidden, channels, activation(), bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens."""
        out: Tensor = x + self.down(self.up(x))
        return out


class Pair(nn.Module):
    """Two modules side by side."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each gives."""
        return self.first(a), self.second(b)


class Followed(nn.Module):
    """A single modality's embedding and what follows it, in one step."""

    def __init__(self, embedding: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.embedding, self.after = embedding, after

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        """Return the embedding, then what follows gives."""
        x = self.embedding(given)
        return (x, *self.after(x))


class Joined(nn.Module):
    """Both embeddings and what follows them, in one step."""

    def __init__(self, audio: nn.Module, visual: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.audio, self.visual, self.after = audio, visual, after

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, ...]:
        """Return both embeddings, then what follows gives."""
        x_audio, x_visual = self.audio(audio), self.visual(visual)
        return (x_audio, x_visual, *self.after(x_audio, x_visual))
