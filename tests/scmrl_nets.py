"""Small S-CMRL networks, and samples that make them spike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikeport.models.network import SpikingNetwork
from spikeport.models.scmrl.build import build
from spikeport.models.scmrl.fusion import Align
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


ACTIVE = {"v_threshold": 0.5, "attention_threshold": 0.05, "align_threshold": 0.05}


def awake(net: SpikingNetwork, inputs: dict[str, Tensor]) -> SpikingNetwork:
    """Settle a network of `ACTIVE` parameters so that every part of it spikes, the alignment layers too."""
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.bias.add_(0.5)
            if isinstance(layer, Align):
                layer.linear.weight.abs_().mul_(3)
    return settled(net, inputs)


def rates(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the means of what the cross-modal mechanism hands on."""
    inner = ("gate", "residual", "aligned")
    return {name: float(x.mean()) for name, x in tensors.items() if name.startswith(inner)}


def settled(net: SpikingNetwork, inputs: dict[str, Tensor]) -> SpikingNetwork:
    """Give the batch norms the statistics of the samples, as training would."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        for _ in range(3):
            net.forward_folded({name: inputs[name] for name in net.input_names})
    return net.eval()
