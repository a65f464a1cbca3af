"""Makes the modules beside the tests importable, and leaves no neuron in snnTorch's list of instances."""

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
def _own_neurons() -> Iterator[None]:
    """`snntorch.utils.reset` resets every neuron ever made: leave none behind."""
    instances = snntorch.SpikingNeuron.instances
    before = list(instances)
    yield
    instances[:] = before
