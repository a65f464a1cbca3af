"""The torch counter and the graph counter agree on an exported network; memory does not grow with T."""

from __future__ import annotations

import gc

import bench_nets as nets
import numpy as np
import snntorch as snn
import torch
from torch import nn
from torch_nets import Stepped, count, leaky, spikes

from spikeport.benchmarks.counting.stage import count_stage
from spikeport.benchmarks.counting.torch_counter import SpikeCounter
from spikeport.benchmarks.counting.torch_counter.tally import WINDOW
from spikeport.export.interpreter import run


def lif() -> snn.Leaky:
    return snn.Leaky(beta=0.5, threshold=0.3, init_hidden=True, reset_mechanism="zero", reset_delay=False)


def as_torch(graph) -> Stepped:
    """Return the same chain in snnTorch: LIF of dt/tau = 1/2 is beta = 1/2 with halved weights."""
    layers: list[nn.Module] = []
    for name in graph.order:
        node = graph.nodes[name]
        kind = type(node).__name__
        if kind == "Conv2d":
            out, in_group = node.weight.shape[:2]
            groups = int(node.groups)
            layer = nn.Conv2d(in_group * groups, out, node.weight.shape[2:], tuple(node.stride), tuple(node.padding),
                              groups=groups)  # fmt: skip
        elif kind == "Affine":
            layer = nn.Linear(*node.weight.shape[::-1])
        else:
            made = {"LIF": lif, "AvgPool2d": lambda: nn.AvgPool2d(2), "Flatten": nn.Flatten}.get(kind)
            layers += [made()] if made else []
            continue
        with torch.no_grad():
            layer.weight.copy_(torch.as_tensor(node.weight) / 2)
            layer.bias.copy_(torch.as_tensor(node.bias) / 2)
        layers.append(layer)
    return Stepped(*layers).eval()


def test_both_counters_agree():
    rng = np.random.default_rng(1)
    graph = nets.net_a(rng)
    x = (rng.random((6, 4, 2, 16, 16)) < 0.1).astype(float)
    staged = count_stage(graph, {"in": x}, run(graph, {"in": x}))
    counted = count(as_torch(graph), torch.as_tensor(x).float().transpose(0, 1))
    assert [(c.ac, c.mac, c.dense, c.events) for c in counted.layers.values()] == [
        (s.ac, s.mac, s.dense, s.events) for s in staged.synapses.values()
    ]
    assert counted.spikes == staged.spikes > 0
    assert counted.neuron_updates == staged.neuron_updates


def test_memory_does_not_grow_with_time():
    model = Stepped(nn.Linear(16, 32), leaky(), nn.Linear(32, 4), leaky()).eval()

    def held(steps: int) -> int:
        with torch.no_grad(), SpikeCounter(model) as counter:
            counter.start(8)
            for _ in range(steps):
                model(spikes(8, 1, 16))
            gc.collect()
            return sum(t.numel() for t in gc.get_objects() if type(t) is torch.Tensor)

    held(2)
    assert held(10 * WINDOW + 3) == held(3)
