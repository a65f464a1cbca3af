"""A bundle whose golden recording the tests of the proof change."""

from __future__ import annotations

from pathlib import Path

import torch
from export_nets import DT, leaky, spikes_like
from torch import nn

from spikeport.export.network import Description, export_network
from spikeport.models.network import SpikeRate, core_network

ABOUT = Description("net", {}, {})
T, B = 20, 8


def plain_bundle(path: Path) -> Path:
    """Write a core whose second neuron has the default reset, so that its membrane is recorded; and a readout."""
    torch.manual_seed(0)
    core = nn.Sequential(nn.Linear(8, 12), leaky(reset_mechanism="zero"), nn.Linear(12, 6), leaky())
    for layer in (core[0], core[2]):
        nn.init.normal_(layer.weight, std=0.6)
    sample = {"x": spikes_like((8,), T, 10)}
    export_network(core_network(core, SpikeRate(6, 3), ("x",)), sample, DT, path, ABOUT)
    return path
