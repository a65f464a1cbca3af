"""brian2-loihi as a second oracle: an emulator of Loihi 1 that others wrote and compared with the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.isolated import Environment

HERE = Path(__file__).parent
Ints = NDArray[np.int64]


class BrianEnvironment(Environment):
    """Python 3.10 with brian2-loihi, pinned beside this file."""

    requirements = (HERE / "pins.txt").read_text("utf-8")


ENVIRONMENT = BrianEnvironment("brian2-loihi", prefer=("3.10",), from_source=("brian2",))


def run_brian(folder: Path, spikes: Ints, weight: Ints, recurrent: Ints, **settings: int) -> tuple[Ints, Ints]:
    """Return v and s [T, N] of one recurrent layer, given spikes [T, sources]."""
    np.savez(folder / "request.npz", spikes=spikes, weight=weight, recurrent=recurrent, **settings)
    ENVIRONMENT.run(HERE / "worker.py", folder)
    with np.load(folder / "answer.npz") as answer:
        return answer["v"], answer["s"]
