"""Makes the helpers beside the tests importable, and runs torch on one thread: the nets are too small for more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import snntorch
import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test draws the same weights, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _own_neurons() -> Iterator[None]:
    """`snntorch.utils.reset` resets every neuron ever made, and fails on a fresh DeltaLeaky: leave none behind."""
    instances = snntorch.SpikingNeuron.instances
    before = list(instances)
    yield
    instances[:] = before
