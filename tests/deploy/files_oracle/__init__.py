"""Lava and lava-dl's netx as readers of the files that we write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.isolated import Environment
from spikeport.deploy.lava.program import ENVIRONMENT

HERE = Path(__file__).parent
Ints = NDArray[np.int64]
Arrays = dict[str, NDArray[np.generic]]


class NetxEnvironment(Environment):
    """Python with lava-nc, lava-dl and h5py, pinned beside this file."""

    requirements = (HERE / "pins.txt").read_text("utf-8")


NETX = NetxEnvironment("netx", prefer=("3.10",))


def run_script(saved: Path, folder: Path, inputs_TB: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """Return what the saved `run_lava.py` writes for these inputs."""
    for name in ("run_lava.py", "network.npz"):
        shutil.copy(saved / name, folder / name)
    np.savez(folder / "inputs.npz", **inputs_TB)
    ENVIRONMENT.run(HERE / "launch.py", folder)
    with np.load(folder / "spikes.npz") as written:
        return dict(written)


def run_netx(net: Path, folder: Path, input_T: Ints, steps: int, **options: Any) -> list[Ints]:
    """Return the spikes [steps, *shape] of every layer of a `.net` that netx builds, given one sample [T, *shape]."""
    shutil.copy(net, folder / "network.net")
    sent = np.zeros((steps, *input_T.shape[1:]), dtype=np.int32)
    sent[: len(input_T)] = input_T
    np.save(folder / "input.npy", sent)
    (folder / "options.json").write_text(json.dumps(options), "utf-8")
    NETX.run(HERE / "netx_worker.py", folder)
    return [np.load(path) for path in sorted(folder.glob("layer*.npy"), key=lambda path: int(path.stem[5:]))]
