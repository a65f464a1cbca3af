"""The spiking MLP that fuses both embeddings, and the last layers.

    I = Wv e_visual + Wa e_audio + b,  h = LIF(I),  further hidden layers h = LIF(W h + b),  logits = W mean_t h + b

The first layer is one Linear on both embeddings side by side, written as a chip has it: currents of two synapses sum
at a neuron. The embeddings are currents that stay the same over the window.

Shape suffixes: T time steps, B samples, K classes.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from spikeport.models.l2act.encoders import Encoders, Shape, pooled
from spikeport.models.l2act.layers import Activation, linear_neuron
from spikeport.models.network import SpikeRate


class Smlp(nn.Module):
    """One step of the hidden layers.

    Args:
        features: what each modality gives a step, [C] or [C, H, W], the visual one first.
        widths: of the hidden layers.
        activation: of each.
        detached: whether the loss behind stops here and does not reach the encoders.
    """

    def __init__(
        self, features: tuple[Shape, Shape], widths: tuple[int, ...], activation: Activation, detached: bool
    ) -> None:
        super().__init__()
        (visual, audio), first = (shape[0] for shape in features), widths[0]
        both = nn.Linear(visual + audio, first)
        self.pool_visual, self.pool_audio = (_pool(shape) for shape in features)
        self.visual, self.audio = nn.Linear(visual, first), nn.Linear(audio, first, bias=False)
        with torch.no_grad():
            self.visual.weight.copy_(both.weight[:, :visual])
            self.audio.weight.copy_(both.weight[:, visual:])
            self.visual.bias.copy_(both.bias)
        self.neuron = activation()
        self.hidden = nn.Sequential(*(linear_neuron(a, b, activation, norm=False) for a, b in pairwise(widths)))
        self.detached = detached

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """Return the last hidden layer's spikes [B, N]."""
        if self.detached:
            visual, audio = visual.detach(), audio.detach()
        current = self.visual(self.pool_visual(visual)) + self.audio(self.pool_audio(audio))
        out: Tensor = self.hidden(self.neuron(current))
        return out


class Streamed(nn.Module):
    """Encoders and fusion in one step: spikes go straight on, and nothing waits for the window's end."""

    def __init__(self, encoders: Encoders, fusion: Smlp) -> None:
        super().__init__()
        self.encoders, self.fusion = encoders, fusion

    def forward(self, visual: Tensor, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the encoders' spikes, then the fusion's."""
        x_visual, x_audio = self.encoders(visual, audio)
        return x_visual, x_audio, self.fusion(x_visual, x_audio)


class Head(nn.Module):
    """`logits_BK = W mean_t e[t]`, with a bias only if asked for."""

    def __init__(self, features: int, classes: int, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes, bias=bias)

    def forward(self, e_TB: Tensor) -> Tensor:
        """Return logits_BK of embeddings [T, B, C], or of spikes [T, B, C, H, W]."""
        logits_BK: Tensor = self.linear(pooled(e_TB).mean(0))
        return logits_BK


class ThreeAnswers(nn.Module):
    """The fusion's answer, which counts, and each modality's own."""

    def __init__(self, answer: SpikeRate, visual: Head, audio: Head) -> None:
        super().__init__()
        self.fused, self.visual, self.audio = answer, visual, audio

    def forward(self, hidden_TBN: Tensor, visual_TB: Tensor, audio_TB: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits_BK of the fusion, of the visual and of the audio net."""
        return self.fused(hidden_TBN), self.visual(visual_TB), self.audio(audio_TB)


def _pool(shape: Shape) -> nn.Module:
    """Return the mean over a picture, as layers that chips have."""
    return nn.Identity() if len(shape) == 1 else nn.Sequential(nn.AvgPool2d(shape[1:]), nn.Flatten())  # type: ignore[arg-type]
