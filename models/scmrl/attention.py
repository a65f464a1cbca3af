"""Cross-modal complementary spatiotemporal spiking attention (CCSSA) of the forms `paper` and `fixed`.

For tokens x of one modality and y of the other, with weights of their own for each branch:

    q = LIF(BN(Wq x)), k = LIF(BN(Wk y)), v = LIF(BN(Wv y))
    spatial:  S[t] = LIF(BN(Wp LIF(0.25 q[t] k[t]^T v[t]))), attention among the N tokens of a step
    temporal: the same among the T steps of a token, each of which sees all others
    residual: R[t, n] = mean over n of S[t] times mean over t of Tm[n]

The product of spikes and the mean over time are no chip's: they are `sequence` segments. No softmax.
Source: the published code of S-CMRL, whose figure draws q and k, v the other way round.

Shape suffixes: T time steps, B samples, C channels, H and W the tokens' rows and columns, N = H W tokens, G heads,
D = C / G channels of a head.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from spikeport.models.scmrl.layers import Activation, ConvNeuron

SCALE = 0.25


class Projections(nn.Module):
    """q of the own tokens, k and v of the other modality's."""

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.q = ConvNeuron(channels, channels, activation())
        self.k = ConvNeuron(channels, channels, activation())
        self.v = ConvNeuron(channels, channels, activation())

    def forward(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v [B, C, H, W]."""
        return self.q(own), self.k(other), self.v(other)


class CrossProjections(nn.Module):
    """The projections of all branches of both modalities."""

    def __init__(self, channels: int, branches: tuple[str, ...], activation: Activation) -> None:
        super().__init__()
        self.audio = nn.ModuleDict({branch: Projections(channels, activation) for branch in branches})
        self.visual = nn.ModuleDict({branch: Projections(channels, activation) for branch in branches})

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, ...]:
        """Return q, k, v of each branch of audio, then of visual."""
        found: list[Tensor] = []
        for branch in self.audio.values():
            found += branch(audio, visual)
        for branch in self.visual.values():
            found += branch(visual, audio)
        return tuple(found)


class SelfProjections(nn.Module):
    """q, k and v of a single modality's tokens alone."""

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.spatial = Projections(channels, activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v [B, C, H, W]."""
        out: tuple[Tensor, Tensor, Tensor] = self.spatial(x, x)
        return out


class SelfBlock(nn.Module):
    """`MLP(x + LIF(BN(Wp LIF(.))))` of a single modality's tokens x and what its attention gives."""

    def __init__(self, gate: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.gate, self.mlp = gate, mlp

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        """Return the tokens."""
        out: Tensor = self.mlp(x + self.gate(attended))
        return out


class SpatialAttention(nn.Module):
    """`0.25 q k^T v` among the tokens of each step."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, q_TBCHW: Tensor, k_TBCHW: Tensor, v_TBCHW: Tensor) -> Tensor:
        """Return [T, B, C, H, W]."""
        q, k, v = (split_heads(x, self.heads) for x in (q_TBCHW, k_TBCHW, v_TBCHW))
        out_TBGND = q @ k.transpose(-2, -1) @ v * SCALE
        return out_TBGND.transpose(-2, -1).reshape(q_TBCHW.shape)


class TemporalAttention(nn.Module):
    """`0.25 q k^T v` among all steps of each token, later ones too.

    With `scrambled` the heads are laid out as the published code lays them out: it reads [G, T, D] as [T, C] without
    bringing T to the front, so that every step's channels come from several steps.
    """

    def __init__(self, heads: int, scrambled: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.scrambled = scrambled

    def forward(self, q_TBCHW: Tensor, k_TBCHW: Tensor, v_TBCHW: Tensor) -> Tensor:
        """Return [T, B, C, H, W]."""
        q, k, v = (split_heads(x, self.heads).permute(3, 1, 2, 0, 4) for x in (q_TBCHW, k_TBCHW, v_TBCHW))
        out_NBGTD = q @ k.transpose(-2, -1) @ v * SCALE
        if not self.scrambled:
            out_NBGTD = out_NBGTD.transpose(2, 3)
        time, batch, channels, rows, columns = q_TBCHW.shape
        out_NBTC = out_NBGTD.reshape(rows * columns, batch, time, channels)
        return out_NBTC.permute(2, 1, 3, 0).reshape(q_TBCHW.shape)


class Complement(nn.Module):
    """`R[t, n] = mean over n of S[t] times mean over t of Tm[n]`: a real value from 0 to 1."""

    def forward(self, spatial_TBCHW: Tensor, temporal_TBCHW: Tensor) -> Tensor:
        """Return [T, B, C, H, W]."""
        return spatial_TBCHW.mean((3, 4), keepdim=True) * temporal_TBCHW.mean(0, keepdim=True)


def output_neurons(channels: int, attention: nn.Module, activation: Activation) -> nn.Sequential:
    """Return what stands behind one branch's attention: `LIF(BN(Wp LIF(.)))`."""
    return nn.Sequential(attention, ConvNeuron(channels, channels, activation()))


def branch_names(side: str, branches: tuple[str, ...]) -> Mapping[str, tuple[str, str, str]]:
    """Return what the tensors q, k and v of each branch of one modality are called."""
    return {b: (f"q_{side}_{b}", f"k_{side}_{b}", f"v_{side}_{b}") for b in branches}


def split_heads(x_TBCHW: Tensor, heads: int) -> Tensor:
    """Return [T, B, G, N, D]."""
    time, batch, channels = x_TBCHW.shape[:3]
    return x_TBCHW.reshape(time, batch, heads, channels // heads, -1).transpose(-2, -1)
