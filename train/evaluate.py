"""Running a trained network over samples.

Shape suffixes: N samples, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikeport.models.network import SpikingNetwork
from spikeport.models.twin import Twin
from spikeport.train.datasets.base import Split
from spikeport.train.loop import batches
from spikeport.train.recipe import Recipe
from spikeport.train.run import Run


def evaluate(run: Run, split: Split, batch_size: int = 200, folded: bool = False) -> Tensor:
    """Return logits_NK of the run's network over `split`, encoded as its recipe says; draws are seeded.

    With `folded`, a spiking network runs as `forward_folded`: the same up to rounding, and faster.
    """
    return network_logits(run.network, run.recipe, split, batch_size, folded)


def network_logits(
    network: SpikingNetwork | Twin, recipe: Recipe, split: Split, batch_size: int = 200, folded: bool = False
) -> Tensor:
    """Return logits_NK of `network` over `split`, encoded as `recipe` says; `folded` as for `evaluate`."""
    seed = recipe.data.split_seed
    answer = network.forward_folded if folded and isinstance(network, SpikingNetwork) else network
    with torch.no_grad():
        return torch.cat([answer(inputs) for inputs, _ in batches(recipe, network, split, batch_size, seed)])


def accuracy(logits_NK: Tensor, split: Split) -> float:
    """Return the share of samples whose largest logit is their label's."""
    return float((logits_NK.argmax(1) == torch.from_numpy(split.labels)).double().mean())
