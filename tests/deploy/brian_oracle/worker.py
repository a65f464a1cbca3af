"""Runs one layer of recurrent neurons on brian2-loihi, an emulator of Loihi 1: `python worker.py FOLDER`.

Runs in an isolated environment: Python 3.10 syntax, numpy, brian2 and brian2-loihi. FOLDER holds `request.npz`; v and
spikes [steps, N] are written to `answer.npz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from brian2 import prefs
from brian2_loihi import (
    LoihiNetwork,
    LoihiNeuronGroup,
    LoihiSpikeGeneratorGroup,
    LoihiSpikeMonitor,
    LoihiStateMonitor,
    LoihiSynapses,
    synapse_sign_mode,
)

prefs.codegen.target = "numpy"


def connect(source: object, target: object, weight: np.ndarray, exponent: int) -> LoihiSynapses:
    """Join two groups by mixed weights [target, source]."""
    synapses = LoihiSynapses(source, target, sign_mode=synapse_sign_mode.MIXED, w_exp=exponent)
    into, of = np.nonzero(weight)
    synapses.connect(i=of, j=into)
    synapses.w = weight[into, of]
    return synapses


def main(folder: Path) -> None:
    """Answer the request in `folder`."""
    request = dict(np.load(folder / "request.npz"))
    spikes = request["spikes"]
    steps, indices = np.nonzero(spikes)
    source = LoihiSpikeGeneratorGroup(spikes.shape[1], indices, steps)
    settings = {name: int(request[name]) for name in ("decay_I", "decay_v", "threshold_v_mant")}
    neurons = LoihiNeuronGroup(len(request["weight"]), **settings)
    joined = [
        connect(source, neurons, request["weight"], int(request["weight_exp"])),
        connect(neurons, neurons, request["recurrent"], int(request["weight_exp"])),
    ]
    state, fired = LoihiStateMonitor(neurons, "v"), LoihiSpikeMonitor(neurons)
    LoihiNetwork(source, neurons, *joined, state, fired).run(len(spikes))
    answer = np.zeros((len(spikes), len(request["weight"])), dtype=np.int64)
    answer[np.asarray(fired.t, dtype=int), np.asarray(fired.i)] = 1
    np.savez(folder / "answer.npz", v=np.asarray(state.v).T, s=answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
