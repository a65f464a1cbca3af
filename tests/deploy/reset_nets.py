"""Random integer networks whose populations reset to zero, by subtraction of anything, or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from integer_nets import IntegerCase, Maker, case_of

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


def reset_case(seed: int, steps: int = 64, batch: int = 1) -> IntegerCase:
    """Return a random network and its inputs."""
    case = case_of(ResetMaker(seed), steps, batch)
    stored = [replace(s, weight=stored_weights(s.weight, sign_mode="mixed")) for s in case.network.synapses]
    return replace(case, network=replace(case.network, synapses=tuple(stored)))
