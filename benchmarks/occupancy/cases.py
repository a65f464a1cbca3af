"""The networks: those of shipped recipes, S-CMRL in its chip form, and L2-ActSpikeNet's ResNet-18.

Weights are random: only the structure counts. What is counted is the chip stage; readout and L2 layer are the host's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from spikeport.errors import UsageError, did_you_mean
from spikeport.export.convert import convert
from spikeport.export.graph import ChipGraph
from spikeport.export.shapes import Shape
from spikeport.models import MODELS
from spikeport.train.datasets import DATASETS
from spikeport.train.recipe import load_recipe
from spikeport.train.samples import encoded_shapes, model_params

CHIP = ("model.params.form=chip",)


@dataclass(frozen=True)
class Case:
    """A recipe's network.

    Attributes:
        title: for readers.
        recipe: whose network it is.
        graded: whether inputs are real values, which a chip without graded spikes does not take.
        overrides: of the recipe.
        shapes: of its inputs; by default those of the recipe's data.
    """

    title: str
    recipe: str
    graded: bool
    overrides: tuple[str, ...] = ()
    shapes: Mapping[str, Shape] | None = None

    def graph(self) -> ChipGraph:
        """Return the network's chip stage."""
        recipe = load_recipe(self.recipe, self.overrides)
        shapes = self.shapes or encoded_shapes(recipe)
        build = MODELS.get(recipe.model.name).build
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build(model_params(recipe), shapes, DATASETS.get(recipe.data.name).classes).eval()
        first = network.segments[0]
        sample = {name: torch.zeros(1, *shapes[name]) for name in first.inputs}
        return convert(first.module, sample, recipe.dt_s, first.inputs).graph


CASES = {
    "s-cmrl-crema-d": Case("S-CMRL chip, CREMA-D, C = 256", "s-cmrl-crema-d", True, CHIP),
    "s-cmrl-urbansound8k-av": Case("S-CMRL chip, UrbanSound8K-AV, C = 64", "s-cmrl-urbansound8k", True, CHIP),
    "s-cmrl-mnistdvs-ntidigits": Case("S-CMRL chip, MNISTDVS-NTIDIGITS, C = 256", "s-cmrl-mnistdvs", False, CHIP),
    "l2-resnet18-32": Case("L2-ActSpikeNet ResNet-18, 32 x 32", "l2-cifar10", True),
    "l2-resnet18-64": Case("L2-ActSpikeNet ResNet-18, 64 x 64", "l2-cifar10", True, shapes={"image": (3, 64, 64)}),
}


def case_of(name: str) -> Case:
    """Return the case called `name`.

    Raises:
        UsageError: there is none.
    """
    if name not in CASES:
        raise UsageError(f"case '{name}'", "there is no such case", did_you_mean(name, CASES))
    return CASES[name]
