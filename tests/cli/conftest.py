"""A tiny network as a bundle, and labelled samples for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

import spikeport
from spikeport.models.network import SpikeRate, SpikingNetwork, core_network

T, FEATURES, CLASSES = 12, 6, 3


class Core(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(FEATURES, 8)
        self.lif = snntorch.Leaky(beta=0.8, init_hidden=True, reset_mechanism="zero")

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.lif(2 * self.fc(x))
        return spikes


@pytest.fixture(scope="session")
def tiny_network() -> SpikingNetwork:
    torch.manual_seed(0)
    return core_network(Core(), SpikeRate(8, CLASSES), ("x",))


@pytest.fixture(scope="session")
def bundle_path(tiny_network: SpikingNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "tiny.bundle"
    sample = (torch.rand(T, 5, FEATURES, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    spikeport.export(tiny_network, {"x": sample}, 1e-3, path)
    return path


@pytest.fixture(scope="session")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(2)
    path = tmp_path_factory.mktemp("data") / "samples.npz"
    x = (rng.random((20, T, FEATURES)) < 0.4).astype(np.float32)
    np.savez(path, x=x, y=rng.integers(0, CLASSES, 20))
    return path
