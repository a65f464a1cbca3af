"""The networks of suite `training`: those of the shipped recipes, on drawn spikes of the recipes' shapes.

Batch norm runs on fixed statistics, taken from the drawn spikes: step by step, statistics of a batch would be those of
one step, and the loop would be another function than the folded network.

Shape suffixes: T time steps, B samples, N a step's own shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikeport.models.network import SpikingNetwork
from spikeport.train.datasets import DATASETS
from spikeport.train.recipe import Recipe, load_recipe
from spikeport.train.samples import build_network, encoded_shapes, model_params

ACTIVITY = 0.2
_ALONE = ("model.params.modality=visual", "model.params.l2.scale=none")


@dataclass(frozen=True)
class Case:
    """A recipe's network.

    Attributes:
        name: of the case, without its number of steps.
        recipe: whose network it is.
        overrides: of the recipe.
        steps: the numbers of steps to time, the recipe's own first.
        batch: samples of a step of training; the recipe's unless said.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    steps: tuple[int, ...] = (16, 32)
    batch: int | None = None


CASES = (
    Case("av-digits", "av-digits"),
    Case("l2 visual net", "l2-av-digits", _ALONE),
    Case("l2-actspikenet", "l2-av-digits"),
    Case("l2-actspikenet, batches of 32", "l2-av-digits", steps=(16,), batch=32),
    Case("l2-actspikenet, batches of 16", "l2-av-digits", steps=(16,), batch=16),
    Case("s-cmrl", "s-cmrl", steps=(8, 32)),
    Case("s-cmrl-chip", "s-cmrl-chip", steps=(8, 32)),
)


@dataclass(frozen=True)
class Work:
    """A network in evaluation mode with what it is trained on.

    Attributes:
        net: the network.
        slope: of its neurons' surrogate gradient.
        inputs_TBN: spikes.
        labels_B: classes.
    """

    net: SpikingNetwork
    slope: float
    inputs_TBN: dict[str, Tensor]
    labels_B: Tensor

    @property
    def normalises(self) -> bool:
        """Whether the network has batch norm."""
        return bool(_norms(self.net))


def work(case: Case, steps: int, batch: int | None = None) -> Work:
    """Return the case, the same on every call; `batch` stands in for its own size."""
    recipe = load_recipe(case.recipe, case.overrides)
    net = build_network(recipe)
    assert isinstance(net, SpikingNetwork)
    batch = batch or case.batch or recipe.training.batch_size
    draw = torch.Generator().manual_seed(1)
    shapes = encoded_shapes(recipe)
    inputs = {
        name: (torch.rand((steps, batch, *shape), generator=draw) < ACTIVITY).float() for name, shape in shapes.items()
    }
    labels = torch.randint(DATASETS.get(recipe.data.name).classes, (batch,), generator=draw)
    _settle(net, inputs)
    return Work(net.eval(), _slope(recipe), inputs, labels)


def _slope(recipe: Recipe) -> float:
    return float(model_params(recipe).slope)


def _settle(net: SpikingNetwork, inputs_TBN: dict[str, Tensor]) -> None:
    """Take the statistics of batch norm from `inputs_TBN`: under the initial ones, deep layers are silent."""
    norms = _norms(net)
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net.train().forward_folded(inputs_TBN)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def _norms(net: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
