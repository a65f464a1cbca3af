"""The L2 layer: a sample's embedding has length s, so that its direction alone decides.

    e = s r / max(||r||_2, eps)

Exact L2 is no operation of spikes: it takes a square root and a division for each sample, and rates take the whole
window. It is a `sequence` segment, which deployment runs on the host, unless `spikeport.models.l2act.treat` does
without.

Shape suffixes: T time steps (1 where there is one embedding a sample), B samples, C channels.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from spikeport.models.l2act.encoders import pooled
from spikeport.models.l2act.params import L2Params


class Embedding(nn.Module):
    """What the fusion and the heads see of one modality: constant over the window, but for `per-step`.

    Args:
        params: of the layer.
        beta: decay of the integrator of `membrane`.
    """

    def __init__(self, params: L2Params, beta: float) -> None:
        super().__init__()
        self.params = params
        self.beta = beta

    def forward(self, x_TB: Tensor) -> Tensor:
        """Return e [T, B, C] of spikes [T, B, C] or [T, B, C, H, W]."""
        x_TBC = pooled(x_TB)
        return self.normalised(self.raw(x_TBC)).expand_as(x_TBC)

    def raw(self, x_TBC: Tensor) -> Tensor:
        """Return r: [1, B, C], or [T, B, C] per step."""
        if self.params.on == "per-step":
            return x_TBC
        if self.params.on == "rate":
            return x_TBC.mean(0, keepdim=True)
        age_T = torch.arange(x_TBC.shape[0] - 1, -1, -1, device=x_TBC.device)
        weights_T = torch.pow(self.beta, age_T.to(x_TBC.dtype))
        return (weights_T[:, None, None] * x_TBC).sum(0, keepdim=True)

    def normalised(self, r_TBC: Tensor) -> Tensor:
        """Return `s r / max(||r||, eps)`, or `gain r` where s is `none`. At r = 0 value and gradient are finite."""
        if self.params.scale == "none":
            return self.params.gain * r_TBC
        norm_TB1: Tensor = torch.linalg.vector_norm(r_TBC, dim=2, keepdim=True)
        e_TBC: Tensor = scale(self.params, r_TBC.shape[2]) * r_TBC / norm_TB1.clamp_min(self.params.eps)
        return e_TBC


class TwoEmbeddings(nn.Module):
    """The embeddings of both, each with its own length."""

    def __init__(self, params: L2Params, beta: float) -> None:
        super().__init__()
        self.visual = Embedding(params, beta)
        self.audio = Embedding(params, beta)

    def forward(self, visual_TB: Tensor, audio_TB: Tensor) -> tuple[Tensor, Tensor]:
        """Return e of each."""
        return self.visual(visual_TB), self.audio(audio_TB)


def scale(params: L2Params, length: int) -> float:
    """Return s, 1 where the norm is left out, for embeddings of `length` elements."""
    if params.scale == "none":
        return 1.0
    return sqrt(length) if params.scale == "sqrt-d" else params.scale
