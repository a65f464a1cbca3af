"""What a run leaves behind: the spikes of every neuron node, with the latency that the backend declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.generic]

FLOAT64 = 2.0**-53
FLOAT32 = 2.0**-24


@dataclass(frozen=True)
class Recording:
    """The outcome of running one chip stage.

    Attributes:
        nodes: for each recorded node [T + max latency, B, *shape]; spikes as uint8 0 and 1, values as float.
        latency_steps: how many steps each node lags behind the reference.
        timesteps: T, the steps of the input.
        unit_roundoff: the relative rounding error u of the arithmetic that made it (2^-53, 2^-24), or `None`
            where the network was quantised and differs by construction.
    """

    nodes: Mapping[str, Values]
    latency_steps: Mapping[str, int]
    timesteps: int
    unit_roundoff: float | None

    def aligned(self, name: str) -> Values:
        """Return `[T, B, *shape]` of the node, so that entry t answers input step t."""
        start = self.latency_steps[name]
        return self.nodes[name][start : start + self.timesteps]

    def early(self, name: str) -> Values:
        """Return what the node emitted before its latency; a faithful spiking node is silent there."""
        return self.nodes[name][: self.latency_steps[name]]
