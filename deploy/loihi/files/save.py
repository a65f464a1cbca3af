"""The files of a quantised stage: its integers, a Lava script, and lava-dl's `.net` where that can say it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.engine import IntegerNetwork
from spikeport.deploy.loihi.files.kernels import find_kernels
from spikeport.deploy.loihi.files.net import write_net
from spikeport.deploy.loihi.files.network import WrittenNetwork
from spikeport.deploy.loihi.files.script import write_script
from spikeport.deploy.loihi.quantise import QuantisedStage
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph

Array = NDArray[np.generic]


def written_network(graph: ChipGraph, quantised: QuantisedStage, network: IntegerNetwork) -> WrittenNetwork:
    """Return `network`, the integers of `quantised`, with what its numbers mean."""
    found = {i: find_kernels(graph, s.source, s.target, s.weight) for i, s in enumerate(network.synapses)}
    return WrittenNetwork(
        network,
        {i: kernels for i, kernels in found.items() if kernels is not None},
        {x.layer.name: float(x.scale_N[0]) for x in quantised.layers if x.layer.cell.emits == "value"},
        quantised.input_scales,
        quantised.input_limits,
    )


def save_network(written: WrittenNetwork, folder: Path) -> None:
    """Write all files of the network into `folder`; `notes.txt` says how to use them, and what is missing and why."""
    np.savez_compressed(folder / "network.npz", allow_pickle=False, **_arrays(written))
    (folder / "network.json").write_text(json.dumps(_description(written), indent=1) + "\n", "utf-8")
    notes = ["network.npz, network.json: the integers of every population and all synapses"]
    try:
        write_script(written, folder / "run_lava.py")
        notes.append("run_lava.py: runs them on Lava: python run_lava.py FOLDER, with inputs.npz in FOLDER")
    except UnfaithfulError as error:
        notes.append(f"run_lava.py is not here. {error}")
    try:
        write_net(written, folder / "network.net")
        notes.append(f"network.net: {_loading(written)}")
    except UnfaithfulError as error:
        notes.append(f"network.net is not here. {error}")
    (folder / "notes.txt").write_text("\n".join(notes) + "\n", "utf-8")


def _arrays(written: WrittenNetwork) -> dict[str, Array]:
    """Return `populationI.` bias_mant, constant, and `synapsesI.` data, indices, indptr, shape, kernels.

    Of a parameter that differs between the neurons also `populationI.` du, dv, vth_mant or reset_by.
    """
    arrays: dict[str, Array] = {}
    for i, population in enumerate(written.network.populations):
        arrays[f"population{i}.bias_mant"] = population.bias_mant
        if population.constant is not None:
            arrays[f"population{i}.constant"] = population.constant
        arrays |= {f"population{i}.{name}": values for name, values in population.unlike.items()}
    for i, synapses in enumerate(written.network.synapses):
        name, weight = f"synapses{i}", synapses.weight
        arrays |= {f"{name}.data": weight.data.astype(np.int16), f"{name}.shape": np.array(weight.shape)}
        arrays |= {f"{name}.indices": weight.indices, f"{name}.indptr": weight.indptr}
        if i in written.kernels:
            arrays[f"{name}.kernels"] = written.kernels[i].weight.astype(np.int16)
    return arrays


def _description(written: WrittenNetwork) -> dict[str, Any]:
    network = written.network
    populations = []
    for population in network.populations:
        plain = {k: v for k, v in vars(population).items() if k not in ("bias_mant", "constant")}
        # Null: each neuron has its own, in network.npz.
        plain |= dict.fromkeys(population.unlike)
        populations.append(plain | {"value_scale": written.values.get(population.name)})
    synapses = []
    for i, s in enumerate(network.synapses):
        plain = {"source": s.source, "target": s.target, "weight_exp": s.weight_exp, "wait": s.wait}
        kernels = asdict(written.kernels[i]) if i in written.kernels else None
        synapses.append(plain | {"conv": kernels and {k: v for k, v in kernels.items() if k != "weight"}})
    inputs = {
        name: {"shape": shape, "scale": written.input_scales.get(name), "largest": written.largest_input(name)}
        for name, shape in network.inputs.items()
    }
    return {"inputs": inputs, "populations": populations, "synapses": synapses, "latency": written.latency}


def _loading(written: WrittenNetwork) -> str:
    """Return how netx has to be told to load the file."""
    options = ["net_config='network.net'"]
    if written.driven:
        options.append("reset_interval=STEPS, reset_offset=1")
    if any(written.largest_input(name) > 1 or name in written.input_scales for name in written.network.inputs):
        options.append("input_message_bits=16")
    steps = ", STEPS being those from one sample to the next" if written.driven else ""
    return f"lava.lib.dl.netx.hdf5.Network({', '.join(options)}){steps}; accepted by lava-dl 0.6.0"
