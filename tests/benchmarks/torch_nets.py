"""snnTorch networks, and an event walk over what reached their layers: plain loops over synapses, nothing shared."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import snntorch as snn
import torch
from torch import nn

from spikeport.benchmarks.counting.torch_counter import ModelCounts, SpikeCounter
from spikeport.models.state import reset_state


class Stepped(nn.Module):
    """Runs a chain step by step over [B, T, ...]; neurons hold their own state."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.layers(x[:, t]) for t in range(x.shape[1])], 1)


def leaky(**options) -> snn.Leaky:
    return snn.Leaky(beta=0.9, threshold=options.pop("threshold", 0.3), init_hidden=True, **options)


def facts_net(pool: type[nn.Module] = nn.MaxPool2d) -> Stepped:
    """The facts file's net: conv5 p2, 2x2 pool, conv3 stride 2 p1, grouped conv3 p1, linear; 16x16x2."""
    return Stepped(
        nn.Conv2d(2, 8, 5, padding=2), leaky(), pool(2),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), leaky(),
        nn.Conv2d(16, 16, 3, padding=1, groups=4), leaky(),
        nn.Flatten(), nn.Linear(256, 10), leaky(),
    ).eval()  # fmt: skip


def count(model, *batches, run=None, **options) -> ModelCounts:
    with torch.no_grad(), SpikeCounter(model, **options) as counter:
        for x in batches:
            counter.start(len(x))
            (run or model)(x)
    return counter.counts()


def brute(model, *batches, **options):
    def run():
        for x in batches:
            reset_state(model)
            model(x)

    return walk(model, run, **options)


def by_layer(counts):
    return {n: (c.ac, c.mac, c.dense) for n, c in counts.layers.items()}


def spikes(*shape, p=0.05):
    return (torch.rand(shape) < p).float()


def walk(model: nn.Module, run, nonzero_only: bool = False) -> dict[str, tuple[int, int, int]]:
    """Return {layer: (AC, MAC, dense)} by walking every event of every convolution and linear layer."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)}
    seen: dict[str, list[np.ndarray]] = {n: [] for n in layers}
    handles = [
        m.register_forward_pre_hook(lambda _, args, n=n: seen[n].append(args[0].double().numpy().copy()))
        for n, m in layers.items()
    ]
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return {n: _events(layers[n], inputs, nonzero_only) for n, inputs in seen.items() if inputs}


def _events(layer: nn.Module, inputs: list[np.ndarray], nonzero_only: bool) -> tuple[int, int, int]:
    ac = mac = dense = 0
    for x in inputs:
        rank = 1 if isinstance(layer, nn.Linear) else len(layer.kernel_size) + 1
        rows = x.reshape(-1, *x.shape[-rank:])
        reached = synapses(layer, rows.shape[1:], nonzero_only)
        dense += len(rows) * sum(reached.values())
        for index in np.argwhere(rows):
            count = reached.get(tuple(int(i) for i in index[1:]), 0)
            if abs(rows[tuple(index)]) == 1:
                ac += count
            else:
                mac += count
    return ac, mac, dense


def synapses(layer: nn.Module, shape: tuple[int, ...], nonzero_only: bool = False) -> Counter:
    """Return how many synapses each input element drives, one synapse at a time, from the output's side."""
    weight = layer.weight.detach().numpy()
    reached: Counter = Counter()
    if isinstance(layer, nn.Linear):
        for out, inp in np.ndindex(*weight.shape):
            reached[(inp,)] += int(weight[out, inp] != 0 or not nonzero_only)
        return reached
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    taps = list(np.ndindex(*layer.kernel_size))
    groups, c_in, c_out = layer.groups, layer.in_channels, layer.out_channels
    positions = [_reads(layer, shape[1:], tap, transposed) for tap in taps]
    for out, inp in product(range(c_out), range(c_in // groups)):
        group = out // (c_out // groups)
        channel = group * (c_in // groups) + inp
        for tap, reads in zip(taps, positions, strict=True):
            w = weight[channel, out % (c_out // groups)][tap] if transposed else weight[out, inp][tap]
            if w != 0 or not nonzero_only:
                for position in reads:
                    reached[(channel, *position)] += 1
    return reached


def _reads(layer: nn.Module, sides: tuple[int, ...], tap: tuple[int, ...], transposed: bool) -> list[tuple[int, ...]]:
    """Return which positions the tap reads, once for each output position."""
    axes = []
    for a, side in enumerate(sides):
        k, s, p, d = layer.kernel_size[a], layer.stride[a], layer.padding[a], layer.dilation[a]
        if transposed:
            out = (side - 1) * s - 2 * p + d * (k - 1) + layer.output_padding[a] + 1
            axes.append([i for i in range(side) if 0 <= i * s - p + d * tap[a] < out])
            continue
        out = (side + 2 * p - d * (k - 1) - 1) // s + 1
        places = [o * s - p + d * tap[a] for o in range(out)]
        if layer.padding_mode == "circular":
            axes.append([i % side for i in places])
        elif layer.padding_mode == "replicate":
            axes.append([min(max(i, 0), side - 1) for i in places])
        else:
            axes.append([i for i in places if 0 <= i < side])
    return list(product(*axes))
