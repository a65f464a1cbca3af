"""Small networks of the family `l2-actspikenet`, and inputs for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spikeport.models.family import Shapes
from spikeport.models.l2act.build import L2ActNetwork, build
from spikeport.models.l2act.params import L2ActParams

SHAPES: Shapes = {"visual": (2, 9, 9), "audio": (12,)}
PICTURES: Shapes = {"visual": (2, 9, 9), "audio": (1, 8, 8)}
SMALL: dict[str, Any] = {
    "visual": {"stages": [{"channels": 6, "blocks": 2, "stride": 2}, {"channels": 8, "blocks": 1, "stride": 2}]},
    "audio": {"channels": [4, 6], "fc": [10]},
    "fusion": [16],
    "threshold": 0.5,
}


def params(**changes: Any) -> L2ActParams:
    return L2ActParams.model_validate(SMALL | changes)


def network(shapes: Shapes = SHAPES, seed: int = 0, **changes: Any) -> L2ActNetwork:
    """A network in use: its batch norms have seen data."""
    torch.manual_seed(seed)
    net = build(params(**changes), shapes, 4)
    with torch.no_grad():
        for _ in range(8):
            net.train().tensors(draws(net, seed=seed + 1), folded=True)
    return net.eval()


def draws(net: L2ActNetwork, steps: int = 6, samples: int = 12, seed: int = 1) -> dict[str, Tensor]:
    """Spikes, of a rate of their own for each sample, so that norms vary."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name in net.input_names:
        shape = net.shapes[name]
        rate_B = torch.rand(samples, *[1] * len(shape), generator=generator) * 0.6 + 0.2
        found[name] = (torch.rand(steps, samples, *shape, generator=generator) < rate_B).float()
    return found
