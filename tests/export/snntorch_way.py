"""snnTorch's own exporter and importer, and networks in the form that they need."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from typing import Any

import nir
import numpy as np
import torch
from export_nets import leaky, spikes_like
from torch import nn

from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run

X = spikes_like((8,), steps=60)


def theirs(model: nn.Module, sample: torch.Tensor) -> nir.NIRGraph:
    """`snntorch.export_nir` as its documentation says, on a copy."""
    from snntorch.export_nir import export_to_nir

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return export_to_nir(copy.deepcopy(model), sample, ignore_dims=[0])


def their_spikes(graph: nir.NIRGraph, x: torch.Tensor) -> np.ndarray:
    chip = ChipGraph.from_nir(graph, 1e-4)  # their fixed step
    (name,) = chip.inputs
    return np.asarray(run(chip, {name: x.numpy()}).nodes[chip.outputs[0]])


def vector(size: int, **settings):
    """snnTorch's exporter needs per-neuron parameters."""
    settings |= {"beta": torch.full((size,), settings.get("beta", 0.9)), "threshold": torch.ones(size)}
    return leaky(**settings)


def mlp(**settings) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 20), vector(20, **settings), nn.Linear(20, 5), vector(5, **settings))
    nn.init.normal_(net[0].weight, std=0.5)
    nn.init.normal_(net[2].weight, std=0.5)
    return net


class Wired(nn.Module):
    def __init__(self, forward):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        for layer in (self.a, self.b):
            nn.init.normal_(layer.weight, std=0.7)
        self.l1, self.l2 = vector(8, reset_mechanism="zero"), vector(8, reset_mechanism="zero")
        self.wired = forward

    def forward(self, x):
        return self.wired(self, x)


def imported_by_them(graph: nir.NIRGraph) -> nn.Module:
    """`snntorch.import_nir` on a copy, without what it prints."""
    from snntorch.import_nir import import_from_nir

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        module: nn.Module = import_from_nir(copy.deepcopy(graph))
    return module


def their_module_spikes(module: nn.Module, x_TB: torch.Tensor) -> np.ndarray:
    """What a module that they imported answers, step by step."""
    rows, state = [], None
    with torch.no_grad():
        for x_B in x_TB:
            y, state = module(x_B, state)
            rows.append(y.numpy())
    return np.stack(rows)


def there_and_back(net: nn.Module, x_TB: torch.Tensor) -> np.ndarray:
    """What is left of a network after their export and their import."""
    return their_module_spikes(imported_by_them(theirs(net, x_TB[0])), x_TB)


def recurrent(kind: Any, **settings: Any) -> nn.Sequential:
    """A Linear and a neuron with vector parameters."""
    torch.manual_seed(0)
    first = nn.Linear(8, 8)
    nn.init.normal_(first.weight, std=0.5)
    beta, theta = torch.full((8,), 0.9), torch.ones(8)
    return nn.Sequential(first, kind(beta=beta, threshold=theta, init_hidden=True, **settings))
