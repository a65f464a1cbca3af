"""What follows the cross-modal mechanism in the forms `paper` and `fixed`: residual, MLP, pooling, the last layer.

Shape suffixes: T time steps, B samples, C channels, H and W the tokens' rows and columns, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikeport.models.scmrl.layers import Activation, Mlp


class Align(nn.Module):
    """The semantic alignment layer: `LIF(W R + b)`, each token by itself; W is `C x C`."""

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, channels, 1)
        self.neuron = activation()

    def forward(self, residual: Tensor) -> Tensor:
        """Return the aligned residual, binary."""
        out: Tensor = self.neuron(self.linear(residual))
        return out


class ResidualMlp(nn.Module):
    """`x' = x + alpha r`, `y = x' + MLP(x')` for both modalities, r being aligned by the neurons `align`, if any."""

    def __init__(
        self, channels: int, hidden: int, alpha: float, align: Activation | None, activation: Activation
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.align_audio = nn.Identity() if align is None else Align(channels, align)
        self.align_visual = nn.Identity() if align is None else Align(channels, align)
        self.mlp_audio = Mlp(channels, hidden, activation)
        self.mlp_visual = Mlp(channels, hidden, activation)

    def forward(
        self, audio: Tensor, visual: Tensor, residual_audio: Tensor, residual_visual: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return both modalities' tokens, then both residuals as they were added."""
        aligned_audio = self.align_audio(residual_audio)
        aligned_visual = self.align_visual(residual_visual)
        out_audio = self.mlp_audio(audio + self.alpha * aligned_audio)
        out_visual = self.mlp_visual(visual + self.alpha * aligned_visual)
        return out_audio, out_visual, aligned_audio, aligned_visual


class PooledLinear(nn.Module):
    """`logits = W mean over t and tokens of x + b` of one modality."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """Return logits_BK."""
        logits_BK: Tensor = self.linear(_pooled(x_TBCHW))
        return logits_BK


class FusedLinear(nn.Module):
    """The same of two: their means are added, or stand side by side."""

    def __init__(self, channels: int, classes: int, concat: bool) -> None:
        super().__init__()
        self.concat = concat
        self.linear = nn.Linear(2 * channels if concat else channels, classes)

    def forward(self, audio_TBCHW: Tensor, visual_TBCHW: Tensor) -> Tensor:
        """Return logits_BK."""
        audio_BC, visual_BC = _pooled(audio_TBCHW), _pooled(visual_TBCHW)
        fused = torch.cat((audio_BC, visual_BC), 1) if self.concat else audio_BC + visual_BC
        logits_BK: Tensor = self.linear(fused)
        return logits_BK


def _pooled(x_TBCHW: Tensor) -> Tensor:
    return x_TBCHW.mean((0, 3, 4))
