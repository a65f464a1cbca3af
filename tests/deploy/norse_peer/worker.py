# norse is installed in an environment of its own.
# mypy: disable-error-code="import-not-found"
"""What norse does by itself: `python worker.py FOLDER`, which holds `x.npz` and `*.nir`, each Input -> n -> Output.

`records.npz` gets the spikes [T, B, N] of every file's neuron as norse's own importer makes it, and as `subtracted`
those of its `lif_box` with `reset_subtract`, beta 0.5, threshold 1.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import nir
import norse.torch
import numpy as np
import torch
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from norse.torch.functional.reset import reset_subtract


def imported(path: Path, x: torch.Tensor) -> np.ndarray | None:
    """Return the spikes of the imported neuron, `None` where norse does not import it."""
    try:
        graph = nir.read(path, type_check=False)
        neuron = norse.torch.from_nir(graph, ignore_warnings=True, dt=1e-3).get_submodule("n")
    except ValueError:
        return None
    state, spikes = None, []
    for now in x.float():
        s, state = neuron(now, state)
        spikes.append(s.detach().numpy())
    return np.stack(spikes)


def subtracted(x: torch.Tensor) -> np.ndarray:
    """Return the spikes of norse's own neuron that resets by subtraction."""
    half = torch.tensor(0.5, dtype=torch.float64)
    parameters = LIFBoxParameters(tau_mem_inv=half, v_leak=0 * half, v_th=2 * half, reset_method=reset_subtract)
    state, spikes = LIFBoxFeedForwardState(v=0 * half), []
    for now in x:
        s, state = lif_box_feed_forward_step(now / half, state, parameters, dt=1.0)
        spikes.append(s.numpy())
    return np.stack(spikes)


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    folder = Path(sys.argv[1])
    with np.load(folder / "x.npz") as stored:
        given = {name: torch.from_numpy(x) for name, x in stored.items()}
    records = {path.stem: imported(path, given[path.stem]) for path in folder.glob("*.nir")}
    records["subtracted"] = subtracted(given["subtracted"])
    np.savez(folder / "records.npz", **{name: x for name, x in records.items() if x is not None})
