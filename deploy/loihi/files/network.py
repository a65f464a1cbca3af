"""What the files of a network are written from: its integers, and what they mean.

Steps count from 0. A population's onset is its latency: before it, nothing of the input has reached it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Synapses
from spikeport.deploy.loihi.files.kernels import Kernels

IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class WrittenNetwork:
    """A network to be written.

    Attributes:
        network: its integers.
        kernels: by position in `network.synapses`, those that are a convolution.
        values: the populations whose membrane is read, with the integer of v that stands for 1.
        input_scales: the integer that is sent for 1, by input; inputs that are not in it send what they are given.
        input_limits: the largest magnitude that was made room for, by input.
    """

    network: IntegerNetwork
    kernels: Mapping[int, Kernels] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    input_scales: Mapping[str, float] = field(default_factory=dict)
    input_limits: Mapping[str, float] = field(default_factory=dict)

    def largest_input(self, name: str) -> float:
        """Return the largest magnitude that input `name` may send, as a whole number."""
        return float(np.rint(self.input_limits.get(name, 1.0) * self.input_scales.get(name, 1.0)))

    @property
    def driven(self) -> bool:
        """Whether something other than the inputs drives a population, so that its onset matters."""
        return any(np.any(p.bias_mant) or p.constant is not None for p in self.network.populations)

    @property
    def latency(self) -> int:
        """The greatest onset."""
        return max((p.onset for p in self.network.populations), default=0)


def reset_in_words(population: Population) -> str:
    """Return what a spike does to the membrane, where it does not reset it to 0."""
    least, most = int(np.min(population.reset_by)), int(np.max(population.reset_by))
    amount = f"{least}" if least == most else f"{least} to {most}"
    return f"reset by subtraction of {amount}" if most else "no reset"


def unlike_in_words(population: Population) -> str:
    """Return which parameters differ between the neurons; empty where none does."""
    return ", ".join(f"{name} {values.min()} to {values.max()}" for name, values in population.unlike.items())


def lag(network: IntegerNetwork, synapses: Synapses) -> int:
    """Return how many steps of the network's own clock the synapses deliver late: its registers and delays."""
    onset = {p.name: p.onset for p in network.populations} | dict.fromkeys(network.inputs, 0)
    return synapses.wait - (onset[synapses.target] - 1 - onset[synapses.source])


def fires_early(network: IntegerNetwork) -> set[str]:
    """Return the populations that would fire before their onset if nothing held them: no input is there yet."""
    steps = max((p.onset for p in network.populations), default=0)
    if steps == 0:
        return set()
    free = replace(network, populations=tuple(replace(p, onset=0) for p in network.populations))
    silence = {name: np.zeros((1, 1, *shape), dtype=np.uint8) for name, shape in network.inputs.items()}
    spikes = Engine(free, 1).run(silence, steps).spikes
    return {p.name for p in network.populations if np.any(spikes[p.name][: p.onset])}


def early_heard(network: IntegerNetwork) -> tuple[Population, Synapses] | None:
    """Return the first population whose early spikes would still be on their way when the target's onset comes.

    Spikes from before an onset reach a target before its own, where its state is put to 0, unless a lag holds them.
    """
    early = fires_early(network)
    for synapses in network.synapses:
        if synapses.source in early and lag(network, synapses) > 0:
            return next(p for p in network.populations if p.name == synapses.source), synapses
    return None
