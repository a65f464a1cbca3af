"""The networks of suite `loihi-engine`: two fully connected layers, and two small convolutional networks.

Random, mixed 8-bit weights; current and voltage state. Thresholds are set layer by layer so
that, at 10 % input activity, about a tenth of each layer's neurons fire in a step.

Shapes: T steps, B samples; images are (channels, height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.linear import unroll
from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Synapses

DU, DV = 1024, 400
ACTIVITY = 0.1
TIMESTEPS = 100
_CALIBRATION = 4


@dataclass(frozen=True)
class SuiteLayer:
    """One layer: its synapses as a kernel or a matrix, and its neurons.

    Attributes:
        kind: of the synapses.
        weight: [out, in], or [C_out, C_in, height, width].
        stride: of a convolution.
        shape: of the neurons.
        vth_mant: their threshold.
    """

    kind: Literal["dense", "conv"]
    weight: NDArray[np.int64]
    stride: int
    shape: tuple[int, ...]
    vth_mant: int


@dataclass(frozen=True)
class SuiteNet:
    """A chain of layers over one input."""

    name: str
    shape: tuple[int, ...]
    layers: Sequence[SuiteLayer]

    def network(self) -> IntegerNetwork:
        """Return it as the engine runs it."""
        populations, synapses, source, shape = [], [], "input", self.shape
        for i, layer in enumerate(self.layers):
            name, size = f"layer{i}", prod(layer.shape)
            bias = np.zeros(size, np.int32)
            populations.append(Population(name, layer.shape, DU, DV, layer.vth_mant, bias))
            synapses.append(Synapses(source, name, _matrix(layer, shape)))
            source, shape = name, layer.shape
        return IntegerNetwork({"input": self.shape}, populations, synapses)


def _matrix(layer: SuiteLayer, shape: tuple[int, ...]) -> csr_array:
    if layer.kind == "dense":
        return csr_array(layer.weight)
    c, h, w = shape
    kernel = layer.weight.astype(np.float64)
    stride = (layer.stride, layer.stride)
    unrolled = unroll(kernel, 1, stride, (1, 1), ((0, 0), (0, 0)), (c, h, w), layer.shape)  # type: ignore[arg-type]
    return csr_array(unrolled, dtype=np.int64)


def suite_nets() -> list[SuiteNet]:
    """Return all of them, calibrated."""
    return [
        dense_net(),
        _net("conv-28", (1, 28, 28), [(8, 5), (16, 3), 10]),
        _net("conv-34", (2, 34, 34), [(16, 5), (32, 3), 10]),
    ]


def dense_net() -> SuiteNet:
    """Return the fully connected one."""
    return _net("dense-784-512-10", (784,), [512, 10])


def _net(name: str, shape: tuple[int, ...], sizes: Sequence[int | tuple[int, int]]) -> SuiteNet:
    """Return a network with random weights; a pair is (channels, kernel) of a convolution of stride 2."""
    rng = np.random.default_rng(len(name))
    net = SuiteNet(name, shape, ())
    for size in sizes:
        source = net.layers[-1].shape if net.layers else shape
        if isinstance(size, int):
            layer = SuiteLayer("dense", _weights(rng, (size, prod(source))), 1, (size,), 1)
        else:
            channels, kernel = size
            out = (channels, *((n - kernel) // 2 + 1 for n in source[1:]))
            layer = SuiteLayer("conv", _weights(rng, (channels, source[0], kernel, kernel)), 2, out, 1)
        net = _calibrated(replace(net, layers=(*net.layers, layer)))
    return net


def _weights(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int64]:
    return (2 * np.rint(rng.normal(1, 20, shape))).clip(-254, 254).astype(np.int64)


def _calibrated(net: SuiteNet) -> SuiteNet:
    """Return `net` with the last layer's threshold where about a tenth of its neurons fire in a step."""
    low, high = 1, 2**17 - 1
    last = net.layers[-1]
    x = suite_input(net, _CALIBRATION)
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        tried = replace(net, layers=(*net.layers[:-1], replace(last, vth_mant=middle)))
        name = f"layer{len(net.layers) - 1}"
        rate = Engine(tried.network(), threads=1).run({"input": x}).spikes[name].mean()
        low, high = (middle, high) if rate > ACTIVITY else (low, middle)
    return replace(net, layers=(*net.layers[:-1], replace(last, vth_mant=high)))


def suite_input(net: SuiteNet, samples: int) -> NDArray[np.uint8]:
    """Return spikes [T, B, *shape] of 10 % activity."""
    rng = np.random.default_rng(0)
    spikes: NDArray[np.uint8] = (rng.random((TIMESTEPS, samples, *net.shape)) < ACTIVITY).astype(np.uint8)
    return spikes
