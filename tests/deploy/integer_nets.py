"""Random integer networks over all that the engine runs: dense, sparse, convolutions, loops, delays, graded inputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.linear import unroll
from spikeport.deploy.loihi.engine import IntegerNetwork, Population, Synapses

Ints = NDArray[np.int64]


@dataclass
class IntegerCase:
    """A network with an input of `steps` steps, and what is in it."""

    network: IntegerNetwork
    inputs: dict[str, Ints]
    features: set[str] = field(default_factory=set)


class Maker:
    """Draws one network; `extensions` allows what Lava has not."""

    def __init__(self, seed: int, extensions: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.extensions = extensions
        self.features: set[str] = set()
        self.populations: list[Population] = []
        self.synapses: list[Synapses] = []

    def chance(self, p: float, feature: str) -> bool:
        drawn = bool(self.rng.random() < p)
        if drawn:
            self.features.add(feature)
        return drawn

    def weights(self, shape: tuple[int, ...]) -> Ints:
        """Even 8-bit weights, or any from -256 to 255; weak or strong."""
        top = int(self.rng.choice([4, 40, 127]))
        drawn = self.rng.integers(-top, top + 1, shape) * 2
        if self.chance(0.2, "odd weights"):
            drawn = self.rng.integers(-256, 256, shape)
        return np.abs(drawn).clip(0, 254) if self.chance(0.15, "one sign") else drawn.clip(-256, 255)

    def population(self, name: str, shape: tuple[int, ...]) -> Population:
        size = int(np.prod(shape))
        du = 4095 if self.chance(0.3, "no current") else int(self.rng.choice([0, self.rng.integers(1, 4095)]))
        dv = int(self.rng.choice([0, 1, 4095, 4096, *self.rng.integers(1, 4095, 4)]))
        bias = np.zeros(size, np.int32)
        if self.chance(0.5, "bias"):
            bias = self.rng.integers(-4096, 4096, size).astype(np.int32)
        made = Population(
            name, shape, du, dv, self.threshold(), bias, int(self.rng.integers(0, 8)) if bias.any() else 0
        )
        if self.extensions and self.chance(0.3, "subtract"):
            made = replace(made, reset="subtract", reset_by=self.taken_off(made.vth_mant))
        if self.extensions and self.chance(0.2, "refractory"):
            made = replace(made, refractory=int(self.rng.integers(1, 5)))
        if self.extensions and self.chance(0.2, "onset"):
            made = replace(made, onset=int(self.rng.integers(1, 6)))
        if self.extensions and self.chance(0.2, "constant"):
            made = replace(made, constant=self.rng.integers(-500, 500, size).astype(np.int32))
        self.populations.append(made)
        return made

    def threshold(self) -> int:
        if self.chance(0.1, "threshold 0"):
            return 0
        return 2**17 - 1 if self.chance(0.1, "never fires") else int(self.rng.choice([30, 300, 3000]))

    def taken_off(self, vth_mant: int) -> int:
        """What a spike takes off v: nothing, less than the threshold, the threshold, more, or the most there is."""
        threshold, most = vth_mant << 6, 2**23 - 1
        drawn = {
            "no reset": 0,
            "below the threshold": int(self.rng.integers(0, threshold + 1)),
            "the threshold": threshold,
            "above the threshold": min(threshold + int(self.rng.integers(1, 100_000)), most),
            "the most": most,
        }
        kind = str(self.rng.choice(list(drawn)))
        self.features.add(kind)
        return drawn[kind]

    def exponent(self) -> int:
        if self.chance(0.15, "huge exponent"):
            return 7
        return int(self.rng.integers(-3, 4)) if self.chance(0.4, "weight exponent") else 0

    def connect(self, source: str, size: int, target: Population) -> None:
        weight = self.weights((target.size, size))
        if self.chance(0.4, "sparse"):
            weight = weight * (self.rng.random(weight.shape) < self.rng.choice([0.02, 0.2]))
        else:
            self.features.add("dense")
        self.add(source, target, weight)

    def add(self, source: str, target: Population, weight: Ints | csr_array, exponent: int | None = None) -> None:
        wait = int(self.rng.integers(1, 5)) if self.chance(0.15, "delay") else 0
        shift = self.exponent() if exponent is None else exponent
        self.synapses.append(Synapses(source, target.name, csr_array(weight).astype(np.int32), shift, wait))

    def convolution(self, source: str, image: tuple[int, int, int], name: str) -> Population:
        """Add feature maps over an input or population of feature maps."""
        groups = 2 if image[0] % 2 == 0 and self.chance(0.3, "grouped conv") else 1
        out = groups * int(self.rng.choice([2, 4, 8]))
        kernel = tuple(int(k) for k in self.rng.integers(1, 4, 2))
        stride = tuple(int(n) for n in self.rng.integers(1, 3, 2))
        dilation = (2, 1) if self.chance(0.2, "dilated conv") else (1, 1)
        pads = tuple((int(p), int(p)) for p in self.rng.integers(0, 2, 2))
        sizes = [(image[i + 1] + 2 * pads[i][0] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2)]
        if min(sizes) < 1:
            return self.convolution(source, image, name)
        self.features |= {"conv"} | ({"strided conv"} if max(stride) > 1 else set())
        self.features |= {"padded conv"} if pads[0][0] or pads[1][0] else set()
        target = self.population(name, (out, *sizes))
        kernels = self.weights((out, image[0] // groups, *kernel)).astype(np.float64)
        self.add(source, target, unroll(kernels, groups, stride, dilation, pads, image, target.shape))
        return target

    def network(self) -> IntegerNetwork:
        image = (int(self.rng.choice([1, 2, 4])), *(int(n) for n in self.rng.integers(4, 8, 2)))
        inputs: dict[str, tuple[int, ...]] = {
            "x": image if self.chance(0.5, "image") else (int(self.rng.integers(3, 40)),)
        }
        if self.chance(0.3, "two inputs"):
            inputs["y"] = (int(self.rng.integers(1, 20)),)
        known = {name: int(np.prod(shape)) for name, shape in inputs.items()}
        if len(inputs["x"]) == 3:
            first = self.convolution("x", image, "maps")
            known["maps"] = first.size
            if len(first.shape) == 3 and self.chance(0.5, "two convs"):
                known["maps2"] = self.convolution("maps", first.shape, "maps2").size
        for i in range(int(self.rng.integers(1, 4))):
            target = self.population(f"dense{i}", (int(self.rng.choice([1, 5, 30, 70, 140])),))
            self.connect(list(known)[-1], known[list(known)[-1]], target)
            if self.chance(0.3, "several sources"):
                source = str(self.rng.choice(list(known)))
                self.connect(source, known[source], target)
            if self.chance(0.3, "recurrent"):
                self.connect(target.name, target.size, target)
            known[target.name] = target.size
        if len(self.populations) > 1 and self.chance(0.3, "long loop"):
            last, first = self.populations[-1], self.populations[0]
            self.connect(last.name, last.size, first)
        return IntegerNetwork(inputs, tuple(self.populations), tuple(self.synapses))


def integer_case(seed: int, steps: int = 64, batch: int = 1, extensions: bool = False) -> IntegerCase:
    """Return a random network; its inputs are spikes, or now and then whole numbers."""
    return case_of(Maker(seed, extensions), steps, batch)


def case_of(maker: Maker, steps: int, batch: int) -> IntegerCase:
    """Return the network that `maker` draws, and inputs for it."""
    network = maker.network()
    graded = maker.chance(0.25, "graded")
    rate = float(maker.rng.choice([0.05, 0.3, 0.9]))
    inputs = {}
    for name, shape in network.inputs.items():
        spikes = maker.rng.random((steps, batch, *shape)) < rate
        values = maker.rng.integers(-100, 100, spikes.shape) if graded else 1
        inputs[name] = (spikes * values).astype(np.int64)
    return IntegerCase(network, inputs, maker.features)
