"""Random integer networks of any reset: to zero, by subtraction of anything, or none; shared, or every neuron's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from integer_nets import IntegerCase, Maker, case_of
from numpy.typing import NDArray

from spikeport.deploy.loihi.engine import Population
from spikeport.deploy.loihi.weights import stored_weights


class ResetMaker(Maker):
    """Draws what Lava's processes and ours can be: no refractory time, weights as they are stored, small constants."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, extensions=False)

    def population(self, name: str, shape: tuple[int, ...]) -> Population:
        made = super().population(name, shape)
        if self.chance(0.7, "subtract"):
            made = replace(made, reset="subtract", reset_by=self.taken_off(made.vth_mant))
        else:
            self.features.add("zero")
        if self.chance(0.3, "onset"):
            made = replace(made, onset=int(self.rng.integers(1, 6)))
        if self.chance(0.2, "constant"):
            constant = self.rng.integers(-127, 128, made.size) * 2 << int(self.rng.integers(0, 4))
            made = replace(made, constant=constant.astype(np.int32))
        self.populations[-1] = made
        return made


class OwnMaker(ResetMaker):
    """Besides, neurons have decays, thresholds and resets of their own: any of the four, or all."""

    def population(self, name: str, shape: tuple[int, ...]) -> Population:
        made = super().population(name, shape)
        if self.chance(0.4, "own du"):
            made = replace(made, du=self.each(made.size, [0, 4095], 0, 4096))
        if self.chance(0.4, "own dv"):
            made = replace(made, dv=self.each(made.size, [0, 1, 4095, 4096], 0, 4097))
        if self.chance(0.4, "own threshold"):
            made = replace(made, vth_mant=self.each(made.size, [0, 2**17 - 1], 10, 3000))
        if made.reset == "subtract" and self.chance(0.5, "own reset"):
            made = replace(made, reset_by=self.each(made.size, [0, 2**23 - 1], 0, 200_000))
        self.populations[-1] = made
        return made

    def each(self, size: int, ends: list[int], low: int, high: int) -> NDArray[np.int32]:
        """One number a neuron; some are the ends of the range."""
        drawn = self.rng.integers(low, high, size)
        return np.where(self.rng.random(size) < 0.2, self.rng.choice(ends, size), drawn).astype(np.int32)


def reset_case(seed: int, steps: int = 64, batch: int = 1, maker: type[ResetMaker] = ResetMaker) -> IntegerCase:
    """Return a random network and its inputs."""
    case = case_of(maker(seed), steps, batch)
    stored = [replace(s, weight=stored_weights(s.weight, sign_mode="mixed")) for s in case.network.synapses]
    return replace(case, network=replace(case.network, synapses=tuple(stored)))
