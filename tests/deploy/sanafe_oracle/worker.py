"""Replays recorded spikes in SANA-FE's model of Loihi; runs where sanafe is installed: `worker.py FOLDER`.

Every neuron is an input that fires as recorded, with weights of 0, so that only events are counted.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import sanafe


def main(folder: Path) -> None:
    """Read `request.json`, write `answer.json`."""
    request = json.loads((folder / "request.json").read_text("utf-8"))
    architecture = sanafe.load_loihi()
    network = sanafe.Network()
    groups = {name: _group(network, architecture, name, asked) for name, asked in request["groups"].items()}
    for source, target, pairs in request["connections"]:
        groups[source].connect_neurons_sparse(groups[target], {"weight": [0.0] * len(pairs)}, [tuple(p) for p in pairs])
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    done = chip.sim(request["steps"], timing_model="simple", perf_trace=True, message_trace=True)
    kept = ("src_neuron_group_id", "timestep", "src_core_id", "dest_core_id", "spikes", "hops")
    messages = [[m[key] for key in kept] for step in done["message_trace"] for m in step]
    answer = {"messages": messages, "synops": done["perf_trace"]["spikes"], "energy_j": done["energy"]}
    (folder / "answer.json").write_text(json.dumps(answer), "utf-8")


USED: Counter[int] = Counter()


def _group(network: sanafe.Network, architecture: sanafe.Architecture, name: str, asked: dict) -> sanafe.NeuronGroup:
    group = network.create_neuron_group(name, len(asked["cores"]), {})
    cores = architecture.cores()
    for neuron, core, spikes in zip(group.neurons, asked["cores"], asked["spikes"], strict=True):
        neuron.set_attributes(
            soma_hw_name=f"loihi_inputs[{USED[core]}]",
            default_synapse_hw_name="loihi_sparse_synapse",
            dendrite_hw_name="loihi_dendrites",
            model_attributes={"spikes": spikes},
        )
        neuron.map_to_core(cores[core])
        USED[core] += 1
    return group


main(Path(sys.argv[1]))
