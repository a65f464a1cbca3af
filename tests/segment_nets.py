"""A network with a host stage between two chip stages.

Shapes: T time, B batch, `*` the tensor's own shape.
"""

from __future__ import annotations

import snntorch
import torch
from torch import Tensor, nn

from spikeport.models.network import Segment, SpikeRate, SpikingNetwork

T, B = 6, 5


def leaky() -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.5, threshold=1.0, init_hidden=True, reset_mechanism="zero")


class Two(nn.Module):
    """One step with two results, of which one feeds only a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.lif = nn.Linear(4, 6), leaky()
        with torch.no_grad():
            self.first.weight.mul_(4)
        self.only_loss, self.lif_loss = nn.Linear(6, 3), leaky()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s = self.lif(self.first(x))
        return self.lif_loss(self.only_loss(s)), s


class AcrossTime(nn.Module):
    """Full attention over time: step t reads all others."""

    def forward(self, s_TBN: Tensor, x_TBN: Tensor) -> tuple[Tensor, Tensor]:
        s_BTN, x_BTN = s_TBN.transpose(0, 1), x_TBN.transpose(0, 1)
        out_BTN = s_BTN @ s_BTN.transpose(1, 2) @ x_BTN / 4
        return out_BTN.transpose(0, 1), x_TBN.mean(0, keepdim=True).expand_as(x_TBN)


class Join(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.lif = nn.Linear(4, 5), nn.Linear(4, 5), leaky()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        out: Tensor = self.lif(self.a(a) + self.b(b))
        return out


def network(across: nn.Module | None = None) -> SpikingNetwork:
    torch.manual_seed(3)
    segments = [
        Segment("encode", "step", Two(), ("x",), ("for_loss", "s")),
        Segment("across", "sequence", across or AcrossTime(), ("s", "x"), ("mixed", "mean")),
        Segment("join", "step", Join(), ("mixed", "mean"), ("spikes",)),
        Segment("readout", "readout", SpikeRate(5, 3), ("spikes",), ("logits",)),
    ]
    return SpikingNetwork(segments, ("x",)).eval()
