"""Runs integer networks on Lava's own processes and writes u, v and s of every step: `python worker.py FOLDER`.

Runs in the isolated environment: Python 3.10 syntax, numpy, scipy and lava-nc only. FOLDER holds `networks.json`,
a list of networks, and `arrays.npz`. Every process is lava-nc's (LIF, Dense, Sparse, Conv, RingBuffer, Monitor) and
every step of its model's: after it, the state is copied out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "lava" / "worker"))
from main import import_lava, show_child_errors

Json = dict[str, Any]


def observe() -> None:
    """Have Lava's LIF model leave its state in a file after each of its steps; what it computes stays untouched."""
    from lava.proc.lif.models import PyLifModelBitAcc

    own_step = PyLifModelBitAcc.run_spk

    def run_spk(self: Any) -> None:
        own_step(self)
        path, steps = self.proc_params["record"]
        if self.time_step == 1:
            self.rows = np.zeros((steps, 3, self.v.size), dtype=np.int32)
        self.rows[self.time_step - 1] = self.u.ravel(), self.v.ravel(), self.s_out_buff.ravel()
        if self.time_step == steps:
            np.save(path, self.rows)

    PyLifModelBitAcc.run_spk = run_spk


def run_network(folder: Path, network: Json, arrays: dict[str, np.ndarray]) -> None:
    """Build one network, run it, and write what its monitors saw."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer
    from lava.proc.monitor.process import Monitor

    made = {name: RingBuffer(data=arrays[key]) for name, key in network["inputs"].items()}
    made |= {p["name"]: make_lif(folder, p, network["steps"], arrays) for p in network["populations"]}
    for synapses in network["synapses"]:
        connect(synapses, made[synapses["source"]].s_out, made[synapses["target"]].a_in, arrays)
    monitors = {}
    for name, variable in network["monitored"]:
        monitors[name, variable] = Monitor()
        monitors[name, variable].probe(getattr(made[name], variable), network["steps"])
    first = made[network["populations"][0]["name"]]
    first.run(condition=RunSteps(num_steps=network["steps"]), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    for (name, variable), monitor in monitors.items():
        (seen,) = monitor.get_data().values()
        np.save(folder / f"{network['name']}-{name}-{variable}.npy", seen[variable])
    first.stop()


def make_lif(folder: Path, population: Json, steps: int, arrays: dict[str, np.ndarray]) -> Any:
    """Return Lava's LIF."""
    from lava.proc.lif.process import LIF

    bias = arrays[population["bias"]]
    return LIF(
        shape=bias.shape,
        du=population["du"],
        dv=population["dv"],
        vth=population["vth"],
        bias_mant=bias,
        bias_exp=population["bias_exp"],
        record=(str(folder / population["record"]), steps),
    )


def connect(synapses: Json, out: Any, into: Any, arrays: dict[str, np.ndarray]) -> None:
    """Join two populations by one of Lava's connection processes, behind one identity for every step of `wait`."""
    from lava.proc.dense.process import Dense

    for _ in range(synapses["wait"]):
        relay = Dense(weights=np.eye(out.shape[0], dtype=np.int32), num_message_bits=24)
        out.connect(relay.s_in)
        out = relay.a_out
    if synapses["kind"] == "conv":
        connect_conv(synapses, out, into, arrays)
        return
    process = make_matrix(synapses, arrays[synapses["weight"]])
    out.connect(process.s_in)
    process.a_out.connect(into)


def make_matrix(synapses: Json, weight: np.ndarray) -> Any:
    """Return Lava's Dense, Sparse or DelayDense; `sign` is `None` where Lava is to see for itself."""
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.sparse.process import Sparse
    from lava.utils.weightutils import SignMode

    settings: Json = {"num_message_bits": synapses["message_bits"], "weight_exp": synapses["weight_exp"]}
    settings["num_weight_bits"] = synapses["weight_bits"]
    if synapses["sign"]:
        settings["sign_mode"] = SignMode[synapses["sign"].upper()]
    if synapses["kind"] == "sparse":
        return Sparse(weights=csr_matrix(weight), **settings)
    if synapses["kind"] == "delay":
        return DelayDense(weights=weight, delays=np.full(weight.shape, synapses["delay"]), **settings)
    return Dense(weights=weight, **settings)


def connect_conv(synapses: Json, out: Any, into: Any, arrays: dict[str, np.ndarray]) -> None:
    """Join by Lava's Conv, which convolves (x, y, channel) maps: our (channel, y, x) kernels are turned over."""
    from lava.proc.conv.process import Conv

    channels, height, width = synapses["image"]
    conv = Conv(
        weight=arrays[synapses["weight"]][:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        input_shape=(width, height, channels),
        weight_exp=synapses["weight_exp"],
        num_weight_bits=synapses["weight_bits"],
        stride=tuple(synapses["stride"][::-1]),
        padding=tuple(synapses["padding"][::-1]),
        dilation=tuple(synapses["dilation"][::-1]),
        groups=synapses["groups"],
        num_message_bits=synapses["message_bits"],
    )
    out.reshape((channels, height, width)).transpose((2, 1, 0)).connect(conv.s_in)
    conv.a_out.transpose((2, 1, 0)).flatten().connect(into)


def run_all(folder: Path) -> None:
    """Run the networks of `folder`, one after the other."""
    with np.load(folder / "arrays.npz") as stored:
        arrays = dict(stored)
    for network in json.loads((folder / "networks.json").read_text()):
        run_network(folder, network, arrays)


if __name__ == "__main__":
    if sys.version_info >= (3, 11):  # noqa: UP036 - the worker also runs on 3.10, where Lava needs no help
        import_lava()
    show_child_errors()
    observe()
    run_all(Path(sys.argv[1]))
