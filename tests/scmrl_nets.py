"""Small S-CMRL networks, and samples that make them spike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikeport.models.network import SpikingNetwork
from spikeport.models.scmrl.build import build
from spikeport.models.scmrl.params import ScmrlParams

SHAPES = {"audio": (1, 8, 8), "visual": (2, 17, 17)}
CLASSES = 3
CHANNELS = 8
AUDIO = ({"channels": 4}, {"channels": CHANNELS, "kernel": 4, "padding": 0})
POOLED = ({"channels": 4, "pool": True}, {"channels": CHANNELS, "pool": True})
STRIDED = ({"channels": 4, "stride": 2}, {"channels": CHANNELS, "stride": 2})


def params(form: str = "fixed", **changes: Any) -> ScmrlParams:
    visual = STRIDED if form == "chip" else POOLED
    given = {"channels": CHANNELS, "heads": 2, "mlp_ratio": 2, "audio": AUDIO, "visual": visual}
    return ScmrlParams.model_validate({"form": form, **given, **changes})


def samples(timesteps: int = 4, batch: int = 6, seed: int = 0) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: (torch.rand(timesteps, batch, *shape, generator=draw) < 0.3).float() for name, shape in SHAPES.items()
    }


def network(form: str = "fixed", seed: int = 0, **changes: Any) -> SpikingNetwork:
    torch.manual_seed(seed)
    return build(params(form, **changes), SHAPES, CLASSES)


def settled(net: SpikingNetwork, inputs: dict[str, Tensor]) -> SpikingNetwork:
    """Give the batch norms the statistics of the samples, as training would."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        for _ in range(3):
            net.forward_folded({name: inputs[name] for name in net.input_names})
    return net.eval()
