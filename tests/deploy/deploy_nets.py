"""Random networks of every shape that deployment has to get right, and inputs for them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import nir
import numpy as np
from numpy.typing import NDArray

from spikeport.export.graph import ChipGraph

DT = 1e-3
Edges = Iterable[tuple[str, str]]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def source(*shape: int) -> nir.Input:
    return nir.Input({"input": np.array(shape)})


def sink(*shape: int) -> nir.Output:
    return nir.Output({"output": np.array(shape)})


def lif(*shape: int, beta: float = 0.9, threshold: float = 1.0, leak: float = 0.0) -> nir.LIF:
    o = np.ones(shape)
    return nir.LIF(tau=o * DT / (1 - beta), r=o / (1 - beta), v_leak=o * leak, v_threshold=o * threshold)


def affine(n_in: int, n_out: int, seed: int, gain: float = 2.0, bias: float = 0.2) -> nir.Affine:
    g = rng(seed)
    return nir.Affine(g.normal(size=(n_out, n_in)) * gain / np.sqrt(n_in), g.normal(size=n_out) * bias)


def graph(nodes: dict[str, nir.NIRNode], edges: Edges, **options: object) -> ChipGraph:
    return ChipGraph.from_nir(nir.NIRGraph(nodes, list(edges), type_check=False), DT, **options)  # type: ignore[arg-type]


def chain(**nodes: nir.NIRNode) -> ChipGraph:
    names = list(nodes)
    return graph(nodes, pairwise(names))


def inputs(net: ChipGraph, timesteps: int = 12, samples: int = 3, seed: int = 7) -> dict[str, NDArray[np.float64]]:
    g = rng(seed)
    return {n: (g.random((timesteps, samples, *net.shapes[n])) < 0.4).astype(float) for n in net.inputs}


def mlp() -> ChipGraph:
    """Two layers with biases and a leak that is not 0."""
    return chain(x=source(20), a=affine(20, 30, 0), h=lif(30), b=affine(30, 10, 1), y=lif(10, leak=0.05), out=sink(10))


def two_branches() -> ChipGraph:
    """A deep and a shallow branch, from two inputs, that meet; all with strong biases."""
    nodes = {
        "x": source(12),
        "z": source(8),
        "x.1": affine(12, 16, 0, bias=0.6),
        "x_1": lif(16),
        "x.2": affine(16, 16, 1, bias=0.6),
        "deep": lif(16, beta=0.8),
        "z.1": affine(8, 10, 2, bias=0.6),
        "shallow": lif(10, beta=0.7),
        "wx": affine(16, 9, 3),
        "wz": affine(10, 9, 4),
        "wraw": affine(8, 9, 5, bias=0.0),
        "y": lif(9),
        "out": sink(9),
    }
    edges = [("x", "x.1"), ("x.1", "x_1"), ("x_1", "x.2"), ("x.2", "deep"), ("deep", "wx"), ("wx", "y")]
    edges += [("z", "z.1"), ("z.1", "shallow"), ("shallow", "wz"), ("wz", "y"), ("z", "wraw"), ("wraw", "y")]
    return graph(nodes, [*edges, ("y", "out")])


def convolutions() -> ChipGraph:
    """Groups, stride, padding, dilation, both pools, a scale, and a chain that composes to one hop."""
    g = rng(3)
    nodes = {
        "x": source(2, 9, 8),
        "c1": nir.Conv2d((9, 8), g.normal(size=(4, 1, 3, 2)), (2, 1), (1, 0), (1, 2), 2, g.normal(size=4) * 0.3),
        "l1": lif(4, 5, 6),
        "s": nir.Scale(np.repeat([0.5, 1.5, 2.0, 1.0], 30).reshape(4, 5, 6)),
        "c2": nir.Conv2d((5, 6), g.normal(size=(6, 4, 3, 3)) * 0.4, 1, "same", 1, 1, g.normal(size=6) * 0.2),
        "l2": lif(6, 5, 6, beta=0.8),
        "p1": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 0])),
        "p2": nir.SumPool2d(np.array([2, 1]), np.array([1, 1]), np.array([0, 0])),
        "f": nir.Flatten({"input": np.array([6, 2, 3])}, 0, -1),
        "w": nir.Linear(g.normal(size=(7, 36)) * 0.3),
        "y": lif(7),
        "out": sink(7),
    }
    names = list(nodes)
    return graph(nodes, pairwise(names))


def skip() -> ChipGraph:
    """A layer that also feeds the one after the next, so that its spikes have to wait."""
    nodes = {
        "x": source(10),
        "a": affine(10, 12, 0, bias=0.5),
        "l1": lif(12),
        "b": affine(12, 12, 1, bias=0.5),
        "l2": lif(12),
        "c": affine(12, 12, 2, bias=0.5),
        "l3": lif(12),
        "jump": affine(12, 12, 3),
        "out": sink(12),
    }
    edges = [("x", "a"), ("a", "l1"), ("l1", "b"), ("b", "l2"), ("l2", "c"), ("c", "l3"), ("l3", "out")]
    return graph(nodes, [*edges, ("l1", "jump"), ("jump", "l3")])


def recurrent() -> ChipGraph:
    """A layer that hears its own spikes of the step before, with a bias on the way."""
    nodes = {
        "x": source(10),
        "a": affine(10, 14, 0, bias=0.1),
        "y": lif(14),
        "back": affine(14, 14, 1, gain=1.0, bias=0.3),
        "out": sink(14),
    }
    return graph(nodes, [("x", "a"), ("a", "y"), ("y", "back"), ("back", "y"), ("y", "out")])


def currents() -> ChipGraph:
    """CubaLIF with a bias through the synapse, then IF."""
    o = np.ones(11)
    cuba = nir.CubaLIF(tau_syn=4 * DT * o, tau_mem=8 * DT * o, r=o * 2, v_leak=0 * o, v_threshold=o * 0.2, w_in=o * 1.5)
    integrator = nir.IF(r=np.ones(6), v_threshold=np.ones(6) * 3)
    return chain(x=source(9), a=affine(9, 11, 0), i=cuba, b=affine(11, 6, 1), y=integrator, out=sink(6))


def readout() -> ChipGraph:
    """Spikes into a membrane without threshold, whose value is the output."""
    o = np.ones(5)
    li = nir.LI(tau=o * 5 * DT, r=o * 2, v_leak=0.1 * o)
    return chain(x=source(10), a=affine(10, 12, 0), h=lif(12), b=affine(12, 5, 1), y=li, out=sink(5))


def delayed() -> ChipGraph:
    """A delay longer than the hops before it."""
    nodes = {
        "x": source(5),
        "a": affine(5, 6, 0),
        "h": lif(6),
        "d": nir.Delay(np.ones(6) * 3 * DT),
        "b": affine(6, 6, 1),
        "y": lif(6),
        "out": sink(6),
    }
    return chain(**nodes)


EXACT = [mlp, two_branches, convolutions, skip, recurrent, currents, delayed]
