"""A whole network's counts: its chip stages and what the host does around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.crossings import BYTES_PER_ELEMENT, CrossingCounts
from spikeport.benchmarks.counting.layers import AnnCounts, DenseLayer
from spikeport.benchmarks.counting.stage import NeuronCounts, StageCounts, SynapseCounts
from spikeport.benchmarks.counting.torch_counter.result import LayerCounts
from spikeport.benchmarks.counting.torch_counter.result import NeuronCounts as TorchNeurons
from spikeport.errors import UsageError

NOT_SPIKING = "an ANN has no spikes, no synaptic events and no membrane"
NOT_SEEN = "the layers' inputs were not recorded, so non-zero products are not known"
NOT_SPLIT = "it runs in one place: there are no chip and host stages to cross between"
NOT_KEPT = "what the stages hand each other was not kept"
WEIGHTS_NOT_SEEN = "the weights of {} were not seen"
NO_WEIGHTS = "no layer stores weights"
NO_NEURONS = "no node emits spikes"
CROSSINGS = ("crossings_to_chip", "crossings_to_host")


@dataclass(frozen=True)
class NetworkCounts:
    """A spiking network over a data set.

    Attributes:
        chip: each chip stage by name.
        host: the layers that run densely beside it (encoder, readout), per sample.
        crossings: the tensors between chip and host, `None` where they were not kept.
    """

    chip: Mapping[str, StageCounts]
    host: tuple[DenseLayer, ...] = ()
    crossings: tuple[CrossingCounts, ...] | None = None

    def __post_init__(self) -> None:
        if len({stage.samples for stage in self.chip.values()}) != 1:
            counts = {name: stage.samples for name, stage in self.chip.items()}
            raise UsageError(f"chip stages over {counts} samples", "they are no one network", "Count one data set")

    @property
    def samples(self) -> int:
        """Samples that the totals sum over."""
        return next(iter(self.chip.values())).samples

    @property
    def synops(self) -> int:
        """AC and MAC of the chip over all samples."""
        return sum(stage.synops_ac + stage.synops_mac for stage in self.chip.values())

    @property
    def host_macs(self) -> int:
        """Multiply-accumulates of the host per sample."""
        return sum(layer.macs for layer in self.host)


def stage_shares(counts: NetworkCounts) -> tuple[blocks.Stage, ...]:
    """Return the share of all operations (AC and MAC alike) of chip and host."""
    host = counts.host_macs * counts.samples
    total = counts.synops + host
    share = counts.synops / total if total else None
    chip = blocks.Stage(kind="chip", share_of_ops=share)
    if not counts.host:
        return (chip,)
    return chip, blocks.Stage(kind="host", share_of_ops=None if share is None else 1 - share)


def snn_block(counts: NetworkCounts) -> blocks.Counts:
    """Return the `counts` block of a spiking network's row.

    Host stages stand in `per_node`, and in `dense_macs` and `synops_mac`, since a readout on the host is work
    too.
    """
    stages, n = counts.chip.values(), counts.samples
    host = counts.host_macs * n
    totals = {
        "spikes": sum(s.spikes for s in stages),
        "synops_ac": sum(s.synops_ac for s in stages),
        "synops_mac": sum(s.synops_mac for s in stages) + host,
        "dense_macs": sum(s.dense_macs for s in stages) + host,
        "neuron_updates": sum(s.neuron_updates for s in stages),
        "state_accesses": sum(s.state_accesses for s in stages),
        "crossings_to_chip": _crossed(counts.crossings, "chip"),
        "crossings_to_host": _crossed(counts.crossings, "host"),
    }
    missing = {} if counts.crossings is not None else dict.fromkeys(CROSSINGS, NOT_KEPT)
    nodes: dict[str, blocks.Node] = {}
    left_out: list[blocks.NotCounted] = []
    for stage, counted in counts.chip.items():
        prefix = f"{stage}." if len(counts.chip) > 1 else ""
        found = event_nodes(counted.synapses, counted.neurons, n)
        nodes |= {f"{prefix}{name}": node for name, node in found.items()}
        left_out += [blocks.NotCounted(name=prefix + k, reason=why) for k, why in counted.not_counted.items()]
    for layer in counts.host:
        if layer.name in nodes:
            raise UsageError(f"host stage '{layer.name}'", "a chip node has that name", "Rename it")
        nodes[layer.name] = _dense_node(layer, n)
        if layer.not_counted:
            reason = f"host operators outside the multiply-accumulates: {', '.join(layer.not_counted)}"
            left_out.append(blocks.NotCounted(name=layer.name, reason=reason))
    neurons = [c for s in stages for c in s.neurons.values() if c.spikes is not None]
    emitted = sum(c.emitted for c in neurons), sum(c.spikes or 0 for c in neurons)
    crossings = tuple(_crossing(c, n) for c in counts.crossings or ())
    return counts_block(n, totals, nodes, left_out, missing, emitted, crossings)


def ann_block(counts: AnnCounts) -> blocks.Counts:
    """Return the `counts` block of an ANN's row: `synops_mac` are the products with a non-zero input."""
    totals = {
        "spikes": None,
        "synops_ac": None,
        "synops_mac": counts.nonzero_macs,
        "dense_macs": counts.macs * counts.samples,
        "neuron_updates": None,
        "state_accesses": None,
        "crossings_to_chip": None,
        "crossings_to_host": None,
    }
    missing = dict.fromkeys(("spikes", "synops_ac", "neuron_updates", "state_accesses"), NOT_SPIKING)
    missing |= dict.fromkeys(CROSSINGS, NOT_SPLIT)
    if counts.nonzero_macs is None:
        missing["synops_mac"] = NOT_SEEN
    nodes: dict[str, blocks.Node] = {layer.name: _dense_node(layer, counts.samples) for layer in counts.layers}
    left_out = [blocks.NotCounted(name=k, reason=why) for k, why in counts.not_counted.items()]
    return counts_block(counts.samples, totals, nodes, left_out, missing, (0, 0))


def counts_block(
    samples: int,
    totals: Mapping[str, int | None],
    nodes: Mapping[str, blocks.Node],
    left_out: Sequence[blocks.NotCounted],
    missing: Mapping[str, str],
    emitted: tuple[int, int],
    crossings: tuple[blocks.Crossing, ...] = (),
) -> blocks.Counts:
    """Put the block together.

    Args:
        samples: that the totals sum over.
        totals: by figure.
        nodes: by name.
        left_out: what is in no figure.
        missing: the reasons of figures that are null among the totals.
        emitted: the elements that spiking nodes emitted, and how many of them were not 0.
        crossings: between chip and host.
    """
    sparsity, why = _weight_sparsity(nodes)
    missing = dict(missing) | ({"weight_sparsity": why} if why else {})
    if not emitted[0]:
        missing["activation_sparsity"] = NO_NEURONS
    means = {name: None if total is None else total / samples for name, total in totals.items()}
    return blocks.Counts(
        samples=samples,
        per_sample=blocks.PerSample.model_validate(means),
        totals=blocks.Totals.model_validate(totals),
        weight_sparsity=sparsity,
        activation_sparsity=1 - emitted[1] / emitted[0] if emitted[0] else None,
        per_node=dict(nodes),
        crossings=crossings,
        not_counted=tuple(left_out),
        missing=missing,
    )


def _weight_sparsity(nodes: Mapping[str, blocks.Node]) -> tuple[float | None, str | None]:
    """Return the share of zeros among all stored weights, or why it is not known."""
    layers = {name: node for name, node in nodes.items() if not isinstance(node, blocks.NeuronNode) and node.weights}
    zeros = [node.zero_weights for node in layers.values() if node.zero_weights is not None]
    if len(zeros) < len(layers):
        unseen = [name for name, node in layers.items() if node.zero_weights is None]
        return None, WEIGHTS_NOT_SEEN.format(", ".join(unseen))
    if not layers:
        return None, NO_WEIGHTS
    return sum(zeros) / sum(node.weights for node in layers.values()), None


def _crossed(crossings: tuple[CrossingCounts, ...] | None, to: str) -> int | None:
    return None if crossings is None else sum(c.nonzero for c in crossings if c.to == to)


def _crossing(c: CrossingCounts, samples: int) -> blocks.Crossing:
    return blocks.Crossing(
        tensor=c.tensor,
        to=c.to,
        source=c.source,
        targets=c.targets,
        elements=c.elements / samples,
        nonzero=c.nonzero / samples,
        dense_bytes=BYTES_PER_ELEMENT * c.elements / samples,
    )


def event_nodes(
    synapses: Mapping[str, SynapseCounts | LayerCounts], neurons: Mapping[str, NeuronCounts | TorchNeurons], n: int
) -> dict[str, blocks.Node]:
    """Return the nodes of synapses and neurons counted over `n` samples, of a graph or of a torch model."""
    nodes: dict[str, blocks.Node] = {}
    for name, s in synapses.items():
        nodes[name] = blocks.SynapseNode(
            events=None if s.events is None else s.events / n,
            synops_ac=s.ac / n,
            synops_mac=s.mac / n,
            dense_macs=s.dense / n,
            weights=s.weights,
            zero_weights=s.zero_weights,
        )
    for name, c in neurons.items():
        nodes[name] = blocks.NeuronNode(
            emits="values" if c.spikes is None else "spikes",
            neurons=c.neurons,
            spikes=None if c.spikes is None else c.spikes / n,
            rate=None if c.spikes is None else c.spikes / c.emitted,
            neuron_updates=c.updates / n,
        )
    return nodes


def _dense_node(layer: DenseLayer, samples: int) -> blocks.DenseNode:
    return blocks.DenseNode(
        passes=layer.passes,
        dense_macs=layer.macs,
        nonzero_macs=None if layer.nonzero_macs is None else layer.nonzero_macs / samples,
        weights=layer.weights,
        zero_weights=layer.zero_weights,
    )
