"""What S-CMRL is compared with, in the same frame: other ways to let two modalities meet.

Shape suffixes: T time steps, B samples, C channels, H and W the tokens' rows and columns, N = H W tokens, G heads,
D = C / G channels of a head, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikeport.models.scmrl.attention import SCALE, split_heads
from spikeport.models.scmrl.fusion import PooledLinear
from spikeport.models.scmrl.layers import Activation, ConvNeuron, Mlp


class ModalityWeights(nn.Module):
    """`w[t] = fc2(fc1([mean audio; mean visual]))`, a weight for each modality and step; no softmax.

    Source: WeightAttention, Liu et al. 2022, as S-CMRL's code compares with it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2 * channels, channels)
        self.fc2 = nn.Linear(channels, 2)

    def forward(self, audio_TBCHW: Tensor, visual_TBCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return both modalities' tokens, weighted."""
        pooled_TB2C = torch.cat((audio_TBCHW.mean((3, 4)), visual_TBCHW.mean((3, 4))), 2)
        w_TB2 = self.fc2(self.fc1(pooled_TB2C))
        return audio_TBCHW * _weight(w_TB2, 0), visual_TBCHW * _weight(w_TB2, 1)


class RelativeAttention(nn.Module):
    """`0.25 (q k^T + P) v` among the tokens of each step; P[n, m] is learned, or left out.

    P is a parameter: S-CMRL's comparison draws it anew in every forward pass, in evaluation too.
    Source: SMMT, Guo et al. 2024 (spiking cross attention).
    """

    def __init__(self, heads: int, tokens: int, relative: bool) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(0.02 * torch.randn(tokens, tokens)) if relative else None

    def forward(self, q_TBCHW: Tensor, k_TBCHW: Tensor, v_TBCHW: Tensor) -> Tensor:
        """Return [T, B, C, H, W]."""
        q, k, v = (split_heads(x, self.heads) for x in (q_TBCHW, k_TBCHW, v_TBCHW))
        weights_TBGNN = q @ k.transpose(-2, -1)
        if self.position is not None:
            weights_TBGNN = weights_TBGNN + self.position
        out_TBGND = weights_TBGNN @ v * SCALE
        return out_TBGND.transpose(-2, -1).reshape(q_TBCHW.shape)


class Joint(nn.Module):
    """`z = LIF(fc1 x + fc2 y)` and an MLP for it beside one for each modality.

    Source: CMCI, as S-CMRL's code compares with it; it throws the visual block's output away, this does not.
    """

    def __init__(self, channels: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.fc_audio = nn.Conv2d(channels, channels, 1)
        self.fc_visual = nn.Conv2d(channels, channels, 1)
        self.meet = activation()
        self.mlp_audio = Mlp(channels, hidden, activation)
        self.mlp_visual = Mlp(channels, hidden, activation)
        self.mlp_joint = Mlp(channels, hidden, activation)

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tokens of audio, visual and both together."""
        joint = self.meet(self.fc_audio(audio) + self.fc_visual(visual))
        return self.mlp_audio(audio), self.mlp_visual(visual), self.mlp_joint(joint)


class ThreeHeads(nn.Module):
    """A last layer each for the joint branch, whose answer counts, and for both modalities."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.joint = PooledLinear(channels, classes)
        self.audio = PooledLinear(channels, classes)
        self.visual = PooledLinear(channels, classes)

    def forward(self, joint_TBCHW: Tensor, audio_TBCHW: Tensor, visual_TBCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits_BK of the joint branch, of audio and of visual."""
        return self.joint(joint_TBCHW), self.audio(audio_TBCHW), self.visual(visual_TBCHW)


def replaced(channels: int, attention: nn.Module, mlp: nn.Module, activation: Activation) -> nn.Sequential:
    """Return what stands behind the attention that replaces a modality's tokens."""
    return nn.Sequential(attention, ConvNeuron(channels, channels, activation()), mlp)


def _weight(w_TB2: Tensor, side: int) -> Tensor:
    return w_TB2[..., side, None, None, None]
