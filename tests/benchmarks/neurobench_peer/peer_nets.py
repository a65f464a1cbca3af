"""What both sides run: networks and data that a seed decides. Needs torch, snnTorch and `spikeport.models` alone.

Shape suffixes: B samples, T steps; N a step's own shape.
"""

from __future__ import annotations

import snntorch as snn
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeport.models.network import SpikeRate, SpikingNetwork, core_network

SAMPLES, STEPS, CLASSES = 8, 6, 5


def leaky(**options: object) -> snn.Leaky:
    return snn.Leaky(beta=0.9, threshold=0.4, init_hidden=True, **options)


class Core(nn.Module):
    """A convolution, one with strides, a grouped one and a dense layer: net A of the literature, small."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.lif1, self.pool = nn.Conv2d(2, 4, 5, padding=2), leaky(), nn.MaxPool2d(2)
        self.conv2, self.lif2 = nn.Conv2d(4, 8, 3, stride=2, padding=1), leaky()
        self.conv3, self.lif3 = nn.Conv2d(8, 8, 3, padding=1, groups=4), leaky()
        self.fc, self.lif4 = nn.Linear(8 * 2 * 2, CLASSES), leaky()

    def forward(self, x: Tensor) -> Tensor:
        z = self.lif2(self.conv2(self.pool(self.lif1(self.conv1(x)))))
        answer: Tensor = self.lif4(self.fc(self.lif3(self.conv3(z)).flatten(1)))
        return answer


def network(pruned: float = 0.0, readout: bool = False) -> SpikingNetwork:
    torch.manual_seed(0)
    core = Core()
    with torch.no_grad():
        for layer in (core.conv1, core.conv2, core.conv3, core.fc):
            layer.weight[torch.rand_like(layer.weight) < pruned] = 0
    return core_network(core, SpikeRate(CLASSES, CLASSES) if readout else None, ("x",)).eval()


def spikes(p: float = 0.3) -> Tensor:
    """Return x_BTN of 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand((SAMPLES, STEPS, 2, 8, 8), generator=generator) < p).float()


def event_counts() -> Tensor:
    """Return x_BTN of small integers: a few samples have a pixel with 2 events, and most have none."""
    x = spikes(0.1)
    x[0, 0, 0, 3, 3] = x[5, 2, 1, 4, 4] = 2
    return x


def labels() -> Tensor:
    return torch.randint(0, CLASSES, (SAMPLES,), generator=torch.Generator().manual_seed(2))


class Nested(nn.Module):
    """A neuron one level down, stepped by NeuroBench's own wrapper, which takes (spikes, membrane)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.block = nn.Sequential(nn.Linear(128, 16), leaky())
        self.out = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.out(self.block(x.flatten(1))), None


class Functional(nn.Module):
    """A product by a functional call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.weight = nn.Parameter(torch.randn(CLASSES, 128))
        self.lif = leaky()

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.lif(F.linear(x.flatten(1), self.weight)), None


class Transposed(nn.Module):
    """A transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.up, self.lif = nn.ConvTranspose2d(2, 1, 3), leaky()

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.lif(self.up(x)).flatten(1), None


class Recurrent(nn.Module):
    """A neuron type that NeuroBench's table of neuron operations lacks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.fc = nn.Linear(128, CLASSES)
        self.lif = snn.RLeaky(beta=0.9, linear_features=CLASSES, init_hidden=True)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.lif(self.fc(x.flatten(1))), None


BARE = {"nested": Nested, "functional": Functional, "transposed": Transposed, "recurrent": Recurrent}
