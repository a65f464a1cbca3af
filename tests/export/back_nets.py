"""Graphs for the tests of the ways out of NIR: back to snnTorch, and ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import nir
import numpy as np
import torch
from export_nets import DT, graph, lif, sink, source, spikes_like
from torch import Tensor

from spikeport.export.back import imported
from spikeport.export.convert import Conversion, convert
from spikeport.export.graph import ChipGraph
from spikeport.export.verify import verify


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def weight(*shape: int, seed: int = 0, gain: float = 1.0) -> np.ndarray:
    return (rng(seed, *shape).normal(0.2, 1.0, shape) * gain).astype(np.float32)


def cuba_li(*shape: int) -> nir.CubaLI:
    o = np.ones(shape)
    return nir.CubaLI(tau_syn=o * 3e-3, tau_mem=o * 5e-3, r=o * 2, v_leak=o * 0, w_in=o * 1.5)


def looped(membrane: nir.NIRNode, theta: float, scale: float, shape=(5,), late=("s", "r"), current=None) -> ChipGraph:
    """Linear -> [current ->] membrane -> Threshold, whose spikes return through a Scale."""
    o = np.ones(shape)
    nodes = {"x": source(4), "w": nir.Affine(weight(5, 4, gain=2), weight(5, seed=3)), "m": membrane}
    nodes |= {"s": nir.Threshold(o * theta), "r": nir.Scale(o * scale), "y": sink(*shape)}
    edges = [("x", "w"), ("m", "s"), ("s", "r"), ("r", "m"), ("s", "y")]
    if current is not None:
        nodes["c"] = current
    edges += [("w", "m")] if current is None else [("w", "c"), ("c", "m")]
    return graph(nodes, edges, [late])


def random_graph(seed: int, size: int = 6) -> ChipGraph:
    """Layers of random neurons over weights, with skips and, by chance, recurrence or a soft reset."""
    r = rng(seed)
    nodes: dict[str, nir.NIRNode] = {"x": source(size)}
    edges, registers, values = [], [], ["x"]
    for i in range(4):
        n, w = f"n{i}", f"w{i}"
        nodes[w] = nir.Affine(r.normal(0.1, 1, (size, size)), r.normal(0, 0.3, size))
        edges += [(values[-1], w), (w, n)] + ([(values[-2], n)] if len(values) > 1 and r.random() < 0.5 else [])
        tau, gain, theta = r.uniform(DT, 9 * DT, size), r.uniform(0.5, 4, size), r.uniform(0, 2, size)
        kind = r.integers(5)
        if kind == 0:
            nodes[n] = nir.CubaLIF(r.uniform(DT, 5 * DT, size), tau, gain, np.zeros(size), theta, np.zeros(size))
        elif kind == 1:
            nodes |= {
                n: nir.LI(tau, tau / DT, np.zeros(size)),
                f"s{i}": nir.Threshold(theta),
                f"r{i}": nir.Scale(-theta),
            }
            edges += [(n, f"s{i}"), (f"s{i}", f"r{i}"), (f"r{i}", n)]
            registers += [(f"s{i}", f"r{i}")]
        elif kind == 2:
            nodes |= {n: nir.LIF(tau, gain, np.zeros(size), theta), f"b{i}": nir.Linear(r.normal(0, 1, (size, size)))}
            edges += [(n, f"b{i}"), (f"b{i}", n)]
            registers += [(n, f"b{i}")]
        else:
            nodes[n] = [nir.IF(np.ones(size), theta), nir.LI(tau, gain, np.zeros(size))][kind - 3]
        values.append(f"s{i}" if kind == 1 else n)
    nodes |= {"y": sink(size), "z": sink(size)}
    return graph(nodes, [*edges, (values[-1], "y"), (values[-2], "z")], registers)


def loop_of(
    *between: nir.NIRNode, neuron: nir.NIRNode | None = None, register: tuple[str, str] = ("n", "b0")
) -> ChipGraph:
    names = [f"b{i}" for i in range(len(between))]
    path = ["n", *names, "n"]
    nodes = {"x": source(4), "n": neuron or lif(4), "y": sink(4)} | dict(zip(names, between, strict=True))
    return graph(nodes, [("x", "n"), ("n", "y"), *pairwise(path)], [register])


def inputs(chip: ChipGraph, steps: int = 20, rate: float = 0.4) -> dict[str, Tensor]:
    return {n: spikes_like(chip.shapes[n], steps, 2, rate, seed=i) for i, n in enumerate(chip.inputs)}


def comes_back(chip: ChipGraph, x_TB: Mapping[str, Tensor] | None = None, dtype=torch.float32) -> Conversion:
    """Import, audit; export again, audit: both graphs are the module between them, spike for spike."""
    x_TB = x_TB or inputs(chip)
    x_TB = {n: x.to(dtype) for n, x in x_TB.items()}
    first = imported(chip, dtype)
    agreement = verify(first, x_TB)
    assert agreement.exact
    assert set(agreement.per_node) == {*chip.neurons, *chip.outputs}
    assert any(v.spikes_reference for v in agreement.per_node.values()) or not chip.spiking
    again = convert(first.trace.module, {n: x[0] for n, x in x_TB.items()}, DT, chip.inputs)
    assert verify(again, x_TB).exact
    shown = set(again.taps.values())
    assert {n for n, t in first.taps.items() if n in chip.spiking and t not in shown} <= unread(chip)
    assert len(again.outputs) == len(chip.outputs)
    return first


def unread(chip: ChipGraph) -> set[str]:
    """Nodes that nothing reads: an export prunes them."""
    return set(chip.nodes) - {u for u, _ in chip.edges}


def layers_of(conversion: Conversion) -> list[str]:
    return [type(m).__name__ for n, m in conversion.trace.module.named_children()]
