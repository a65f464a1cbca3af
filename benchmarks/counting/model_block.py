"""From what `SpikeCounter` counted to the `counts` block of `results.json`, so that any torch model has one."""

from __future__ import annotations

from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.network import CROSSINGS, NOT_SPLIT, counts_block, event_nodes
from spikeport.benchmarks.counting.torch_counter import ModelCounts
from spikeport.errors import UsageError

NO_NEURONS = "no snnTorch neuron ran"
OF_NEURONS = ("spikes", "neuron_updates", "state_accesses")


def model_block(counts: ModelCounts) -> blocks.Counts:
    """Return the `counts` block of a torch model.

    Weighted layers and products of activations are nodes by their path, neurons by theirs. A model runs in one
    place, so nothing crosses between chip and host. What neurons did is null in a model without neurons, or with
    one that no rule counts.

    Raises:
        UsageError: a layer and a neuron have one path.
    """
    why = unknown_neurons(counts) or (None if counts.neurons else NO_NEURONS)
    totals = {
        "spikes": counts.spikes,
        "synops_ac": counts.synops_ac,
        "synops_mac": counts.synops_mac,
        "dense_macs": counts.dense_macs,
        "neuron_updates": counts.neuron_updates,
        "state_accesses": counts.membrane_traffic,
        **dict.fromkeys(CROSSINGS),
    }
    missing = dict.fromkeys(CROSSINGS, NOT_SPLIT)
    if why:
        totals |= dict.fromkeys(OF_NEURONS)
        missing |= dict.fromkeys(OF_NEURONS, why)
    if both := sorted(set(counts.layers) & set(counts.neurons)):
        raise UsageError(f"'{both[0]}'", "a layer and a neuron have that path", "Rename one")
    left_out = [blocks.NotCounted(name=name, reason=why) for name, why in counts.not_counted.items()]
    nodes = event_nodes(counts.layers, counts.neurons, counts.samples)
    emitted = 0 if why else sum(n.emitted for n in counts.neurons.values())
    block = counts_block(counts.samples, totals, nodes, left_out, missing, (emitted, counts.spikes or 0))
    return block.model_copy(update={"missing": block.missing | {"activation_sparsity": why}}) if why else block


def unknown_neurons(counts: ModelCounts) -> str | None:
    """Return why nothing is known of all neurons together, `None` where it is."""
    names = ", ".join(f"'{name}'" for name in counts.unknown_neurons)
    return f"no rule counts the neurons {names}, which ran" if names else None


def model_footprint(counts: ModelCounts) -> blocks.Footprint | None:
    """Return the `footprint` block of a torch model, `None` where the state of a neuron is not known."""
    if counts.state_bytes is None:
        return None
    return blocks.Footprint(
        parameters=counts.parameters,
        parameter_bytes=counts.parameter_bytes,
        buffer_bytes=counts.buffer_bytes,
        state_bytes=counts.state_bytes,
    )
