"""The networks: S-CMRL's chip form at its paper's sizes, and the ResNet-18 of L2-ActSpikeNet.

Weights are random: only the structure counts. What is counted is the chip stage; readout and L2 layer are the host's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from spikeport.errors import UsageError, did_you_mean
from spikeport.export.convert import convert
from spikeport.export.graph import ChipGraph
from spikeport.export.shapes import Shape
from spikeport.models.l2act import build as l2act
from spikeport.models.l2act.params import L2ActParams
from spikeport.models.network import SpikingNetwork
from spikeport.models.scmrl import build as scmrl
from spikeport.models.scmrl.params import ScmrlParams, Stage

DT_S = 1e-3
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Case:
    """One network.

    Attributes:
        title: for readers.
        shapes: of its inputs.
        graded: whether inputs are real values, which a chip without graded spikes does not take.
        build: returns the network for inputs of such shapes.
    """

    title: str
    shapes: Shapes
    graded: bool
    build: Callable[[Shapes], SpikingNetwork]

    def graph(self) -> ChipGraph:
        """Return the network's chip stage."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = self.build(self.shapes).eval()
        first = network.segments[0]
        sample = {name: torch.zeros(1, *self.shapes[name]) for name in first.inputs}
        return convert(first.module, sample, DT_S, first.inputs).graph


def strided(channels: int, shares: tuple[int, ...]) -> tuple[Stage, ...]:
    """Return 3 x 3 stages that halve the picture by their stride, where the paper pools."""
    return tuple(Stage(channels=channels // share, stride=2) for share in shares)


def s_cmrl(channels: int, shares: tuple[int, ...], classes: int) -> Callable[[Shapes], SpikingNetwork]:
    """Return what builds the chip form of S-CMRL with C = `channels`."""
    stages = strided(channels, shares)
    params = ScmrlParams(form="chip", channels=channels, audio=stages, visual=stages)
    return lambda shapes: scmrl.build(params, shapes, classes)


def resnet18(shapes: Shapes) -> SpikingNetwork:
    """Return the visual net of L2-ActSpikeNet at its default size."""
    return l2act.build(L2ActParams(modality="visual"), shapes, 10)


CLIP = {"audio": (1, 128, 128), "visual": (3, 128, 128)}
EVENTS = {"audio": (1, 28, 28), "visual": (2, 28, 28)}

CASES = {
    "s-cmrl-crema-d": Case("S-CMRL chip, CREMA-D, C = 256", CLIP, True, s_cmrl(256, (8, 4, 2, 1), 6)),
    "s-cmrl-urbansound8k-av": Case("S-CMRL chip, UrbanSound8K-AV, C = 64", CLIP, True, s_cmrl(64, (8, 4, 2, 1), 10)),
    "s-cmrl-mnistdvs-ntidigits": Case(
        "S-CMRL chip, MNISTDVS-NTIDIGITS, C = 256", EVENTS, False, s_cmrl(256, (2, 1), 10)
    ),
    "l2-resnet18-32": Case("L2-ActSpikeNet ResNet-18, 32 x 32", {"visual": (3, 32, 32)}, True, resnet18),
    "l2-resnet18-64": Case("L2-ActSpikeNet ResNet-18, 64 x 64", {"visual": (3, 64, 64)}, True, resnet18),
}  # fmt: skip


def case_of(name: str) -> Case:
    """Return the case called `name`.

    Raises:
        UsageError: there is none.
    """
    if name not in CASES:
        raise UsageError(f"case '{name}'", "there is no such case", did_you_mean(name, CASES))
    return CASES[name]
