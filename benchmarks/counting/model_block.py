"""From what `SpikeCounter` counted to the `counts` block of `results.json`, so that any torch model has one."""

from __future__ import annotations

from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.network import CROSSINGS, NOT_SPLIT, counts_block, event_nodes
from spikeport.benchmarks.counting.torch_counter import ModelCounts
from spikeport.errors import UsageError

NO_NEURONS = "no spiking neuron ran"


def model_block(counts: ModelCounts) -> blocks.Counts:
    """Return the `counts` block of a torch model.

    Weighted layers and products of activations are nodes by their path, neurons by theirs. A model runs in one
    place, so nothing crosses between chip and host. A model without neurons has no spikes, and they are null.

    Raises:
        UsageError: a layer and a neuron have one path.
    """
    spiking = bool(counts.neurons)
    totals = {
        "spikes": counts.spikes if spiking else None,
        "synops_ac": counts.synops_ac,
        "synops_mac": counts.synops_mac,
        "dense_macs": counts.dense_macs,
        "neuron_updates": counts.neuron_updates if spiking else None,
        "state_accesses": counts.membrane_traffic if spiking else None,
        **dict.fromkeys(CROSSINGS),
    }
    missing = dict.fromkeys(CROSSINGS, NOT_SPLIT)
    if not spiking:
        missing |= dict.fromkeys(("spikes", "neuron_updates", "state_accesses"), NO_NEURONS)
    if both := sorted(set(counts.layers) & set(counts.neurons)):
        raise UsageError(f"'{both[0]}'", "a layer and a neuron have that path", "Rename one")
    left_out = [blocks.NotCounted(name=name, reason=why) for name, why in counts.not_counted.items()]
    nodes = event_nodes(counts.layers, counts.neurons, counts.samples)
    emitted = sum(n.emitted for n in counts.neurons.values()), counts.spikes
    return counts_block(counts.samples, totals, nodes, left_out, missing, emitted)


def model_footprint(counts: ModelCounts) -> blocks.Footprint:
    """Return the `footprint` block of a torch model."""
    return blocks.Footprint(
        parameters=counts.parameters,
        parameter_bytes=counts.parameter_bytes,
        buffer_bytes=counts.buffer_bytes,
        state_bytes=counts.state_bytes,
    )
