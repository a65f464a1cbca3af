"""snnTorch's neurons as they come, and NIR nodes that snnTorch does not make."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import snntorch as snn
import torch
from deploy_nets import DT, affine, chain, graph, lif, sink, source
from torch import Tensor, nn

from spikeport.export.graph import ChipGraph

SIZE = 12
SHAPES = {"x": (SIZE,), "image": (2, 8, 6), "series": (3, 9)}


class Branches(nn.Module):
    """Every branch ends in an output of its own: spikes, or a membrane."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        hidden = {"init_hidden": True}
        beta, threshold = torch.linspace(0.2, 0.99, SIZE), torch.linspace(0.4, 1.6, SIZE)
        kinds: dict[str, nn.Module] = {
            "default": snn.Leaky(beta=0.9, **hidden),
            "by_neuron": snn.Leaky(beta, threshold, **hidden),
            "memoryless": snn.Leaky(beta=0.0, threshold=0.2, **hidden),
            "integrating": snn.Leaky(beta=1.0, **hidden),
            "zero": snn.Leaky(beta=0.7, reset_mechanism="zero", **hidden),
            "synaptic": snn.Synaptic(alpha=0.8, beta=0.7, **hidden),
            "lapicque": snn.Lapicque(beta=0.8, **hidden),
            "recurrent": snn.RLeaky(beta=0.8, linear_features=SIZE, **hidden),
            "one_to_one": snn.RLeaky(beta=0.8, V=-0.5, all_to_all=False, **hidden),
            "recurrent_current": snn.RSynaptic(alpha=0.6, beta=0.8, linear_features=SIZE, **hidden),
        }
        self.neurons = nn.ModuleDict(kinds)
        self.weights = nn.ModuleDict({name: nn.Linear(SIZE, SIZE) for name in kinds})
        self.readout = snn.Leaky(beta=0.8, reset_mechanism="none", output=True, **hidden)
        self.summed = snn.Leaky(beta=0.9, reset_mechanism="zero", **hidden)
        self.conv, self.grouped = nn.Conv2d(2, 4, 3, padding="same"), nn.Conv2d(4, 6, (3, 2), groups=2)
        self.seen, self.deeper, self.decided = (snn.Leaky(beta=0.8, threshold=0.5, **hidden) for _ in range(3))
        self.pool, self.flat, self.head = nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6, SIZE)
        self.filters, self.heard = nn.Conv1d(3, 4, 3, padding=2, dilation=2), snn.Leaky(beta=0.8, **hidden)
        for layer in (*self.weights.values(), self.conv, self.grouped, self.filters, self.head):
            layer.weight.data *= 2.5

    def forward(self, x: Tensor, image: Tensor, series: Tensor) -> tuple[Tensor, ...]:
        spikes = [neuron(self.weights[name](x)) for name, neuron in self.neurons.items()]
        summed = self.summed(spikes[0] + spikes[1])  # spikes of height 1 that meet a threshold of 1
        spk, mem = self.readout(x)
        seen = self.pool(self.deeper(self.grouped(self.pool(self.seen(self.conv(image))))))
        return (*spikes, summed, spk, mem, self.decided(self.head(self.flat(seen))), self.heard(self.filters(series)))


def odd_neurons() -> dict[str, ChipGraph]:
    """A layer each of what snnTorch's layers do not come to, with another value for every neuron."""
    each = np.linspace(0.1, 1, SIZE)
    o = np.ones(SIZE)
    slow = 4 * DT + 3 * DT * each
    leaky = lif(SIZE)
    currents = {"tau_syn": 2 * DT * o, "tau_mem": slow, "w_in": 0.5 + each, "v_leak": 0.2 * each, "r": o + each}
    return {
        "reset": layer(replace(leaky, v_reset=0.4 * each - 0.2, tau=slow)),
        "leak": layer(replace(leaky, v_leak=0.3 * each, v_threshold=each)),
        "inverted": layer(replace(leaky, r=-leaky.r * each)),
        "scalar": layer(nir.LIF(np.array(5 * DT), np.array(5.0), v_leak=np.array(0.1), v_threshold=np.array(1.0))),
        "cuba": layer(nir.CubaLIF(**currents, v_threshold=0.5 * each, v_reset=-0.3 * each)),
        "cuba_read": layer(nir.CubaLI(**currents)),
        "read": layer(nir.LI(tau=slow, r=o, v_leak=each)),
        "counter": layer(nir.IF(r=o, v_threshold=2 * each, v_reset=0.1 * each)),
        "sum": layer(nir.I(r=o / DT)),
        "compared": layer(nir.Threshold(0.2 * each)),
        "late": layer(nir.Delay(2 * DT * o), lif(SIZE)),
        "at_once": layer(nir.Delay(0 * o), lif(SIZE)),
        "loop": looped(),
    }


def layer(*nodes: nir.NIRNode) -> ChipGraph:
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    return chain(x=source(10), w=affine(10, SIZE, 0), **named, out=sink(SIZE))


def looped() -> ChipGraph:
    """A layer that hears itself two steps later, through weights with a bias."""
    o = np.ones(SIZE)
    nodes = {"x": source(10), "w": affine(10, SIZE, 0), "y": lif(SIZE), "late": nir.Delay(2 * DT * o)}
    nodes |= {"back": affine(SIZE, SIZE, 1, bias=0.4), "out": sink(SIZE)}
    edges = [("x", "w"), ("w", "y"), ("y", "back"), ("back", "late"), ("late", "y"), ("y", "out")]
    return graph(nodes, edges)
