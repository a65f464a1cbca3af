"""Small NIR graphs and an independent event walk: plain loops over taps and positions, nothing shared."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product

import nir
import numpy as np

from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import check_inputs

DT_S = 1e-3


def lif(shape: tuple[int, ...], threshold: float = 0.3) -> nir.LIF:
    ones = np.ones(shape)
    return nir.LIF(tau=ones * DT_S * 2, r=ones, v_leak=0 * ones, v_threshold=threshold * ones, v_reset=0 * ones)


def conv(
    rng: np.random.Generator, out: int, inp: int, kernel, stride=1, padding=0, dilation=1, groups=1, side=(8, 8)
) -> nir.Conv2d:
    weight = rng.normal(size=(out, inp // groups, *kernel))
    return nir.Conv2d(side, weight, stride, padding, dilation, groups, np.zeros(out))


def graph(nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], registers=None) -> ChipGraph:
    return ChipGraph.from_nir(nir.NIRGraph(nodes, edges, type_check=False), DT_S, registers)


def source(*shape: int) -> nir.Input:
    return nir.Input({"input": np.array(shape)})


def sink(*shape: int) -> nir.Output:
    return nir.Output({"output": np.array(shape)})


def net_a(rng: np.random.Generator, pool: type[nir.NIRNode] = nir.AvgPool2d) -> ChipGraph:
    """The facts file's net: conv5 p2, 2x2 pool, conv3 stride 2 p1, grouped conv3 p1, linear; 16x16x2."""
    two = np.array([2, 2])
    nodes = {
        "in": source(2, 16, 16),
        "conv1": conv(rng, 8, 2, (5, 5), 1, 2, side=(16, 16)),
        "lif1": lif((8, 16, 16)),
        "pool": pool(two, two, np.array([0, 0])),
        "conv2": conv(rng, 16, 8, (3, 3), 2, 1),
        "lif2": lif((16, 4, 4)),
        "conv3": conv(rng, 16, 16, (3, 3), 1, 1, 1, 4, side=(4, 4)),
        "lif3": lif((16, 4, 4)),
        "flat": nir.Flatten({"input": np.array([16, 4, 4])}, 0, -1),
        "fc": nir.Affine(rng.normal(size=(10, 256)), np.zeros(10)),
        "lif4": lif((10,)),
        "out": sink(10),
    }
    names = list(nodes)
    return graph(nodes, list(pairwise(names)))


def brute_force(graph: ChipGraph, inputs, nodes, nonzero_only: bool = False) -> dict[str, tuple[int, int]]:
    """Return {weighted node: (AC, MAC)} by walking every event of every edge, one synapse at a time.

    Only for graphs whose weighted nodes are fed by inputs, neurons, flattened neurons, or a pool of one neuron.
    """
    values = {n: np.asarray(x, float) for n, x in check_inputs(graph, inputs).items()} | {
        n: np.asarray(nodes[n], float) for n in graph.neurons
    }
    counts = {}
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.Affine | nir.Linear | nir.Conv1d | nir.Conv2d | nir.Scale):
            continue
        ac = mac = 0
        reached = _synapses(node, graph.shapes[graph.predecessors[name][0]], nonzero_only)
        for before in graph.predecessors[name]:
            z = _message(graph, values, before)
            if (before, name) in graph.registers:
                z = np.concatenate([np.zeros_like(z[:1]), z[:-1]])
            for index in np.argwhere(z):
                synapses = reached.get(tuple(int(i) for i in index[2:]), 0)
                if abs(z[tuple(index)]) == 1:
                    ac += synapses
                else:
                    mac += synapses
        counts[name] = (ac, mac)
    return counts


def _message(graph: ChipGraph, values, name: str):
    node = graph.nodes[name]
    if name in values:
        return values[name]
    z = _message(graph, values, graph.predecessors[name][0])
    if isinstance(node, nir.Flatten):
        return z.reshape(*z.shape[:2], -1)
    assert isinstance(node, nir.AvgPool2d | nir.SumPool2d)
    (kh, kw), (sh, sw), (ph, pw) = node.kernel_size, node.stride, node.padding
    _, height, width = graph.shapes[name]
    out = np.zeros((*z.shape[:2], *graph.shapes[name]))
    for y, x, k, m in product(range(height), range(width), range(kh), range(kw)):
        row, column = y * sh + k - ph, x * sw + m - pw
        if 0 <= row < z.shape[3] and 0 <= column < z.shape[4]:
            out[:, :, :, y, x] += z[:, :, :, row, column]
    return out / (kh * kw) if isinstance(node, nir.AvgPool2d) else out


def _synapses(node, shape, nonzero_only: bool) -> Counter:
    """Return how many synapses each input element drives, by enumerating every synapse from its output side."""
    reached: Counter = Counter()
    if isinstance(node, nir.Scale):
        return Counter({i: 1 for i in np.ndindex(*shape) if node.scale[i] != 0 or not nonzero_only})
    if isinstance(node, nir.Affine | nir.Linear):
        for out, inp in np.ndindex(*node.weight.shape):
            reached[(inp,)] += int(node.weight[out, inp] != 0 or not nonzero_only)
        return reached
    flat = isinstance(node, nir.Conv1d)
    weight = node.weight[:, :, None, :] if flat else node.weight
    _, height, width = (shape[0], 1, shape[1]) if flat else shape
    if flat:
        stride, dilation, padding = (1, int(node.stride)), (1, int(node.dilation)), (0, int(node.padding))
    else:
        stride, dilation, padding = (_two(v) for v in (node.stride, node.dilation, node.padding))
    outs, in_group, kh, kw = weight.shape
    for out, inp, k, m in np.ndindex(outs, in_group, kh, kw):
        if nonzero_only and weight[out, inp, k, m] == 0:
            continue
        channel = out // (outs // node.groups) * in_group + inp
        for row in range(k * dilation[0] - padding[0], _end(height, padding, dilation, kh, k, 0), stride[0]):
            for column in range(m * dilation[1] - padding[1], _end(width, padding, dilation, kw, m, 1), stride[1]):
                if 0 <= row < height and 0 <= column < width:
                    reached[(channel, column) if flat else (channel, row, column)] += 1
    return reached


def _end(size, padding, dilation, kernel, tap, axis) -> int:
    """One past the last position that the tap reads: the window's last start, plus the tap's offset."""
    return size + padding[axis] - dilation[axis] * (kernel - 1) + tap * dilation[axis]


def _two(value) -> tuple[int, int]:
    flat = np.atleast_1d(value)
    return int(flat[0]), int(flat[-1])
