"""A whole network's counts: its chip stages and what the host does around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.layers import AnnCounts, DenseLayer
from spikeport.benchmarks.counting.stage import StageCounts
from spikeport.errors import UsageError

NOT_SPIKING = "an ANN has no spikes, no synaptic events and no membrane"
NOT_SEEN = "the layers' inputs were not recorded, so non-zero products are not known"


@dataclass(frozen=True)
class NetworkCounts:
    """A spiking network over a data set.

    Attributes:
        chip: each chip stage by name.
        host: the layers that run densely beside it (encoder, readout), per sample.
    """

    chip: Mapping[str, StageCounts]
    host: tuple[DenseLayer, ...] = ()

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
    }
    nodes: dict[str, blocks.Node] = {}
    left_out: list[blocks.NotCounted] = []
    for stage, counted in counts.chip.items():
        prefix = f"{stage}." if len(counts.chip) > 1 else ""
        nodes |= {f"{prefix}{name}": node for name, node in _chip_nodes(counted).items()}
        left_out += [blocks.NotCounted(name=prefix + k, reason=why) for k, why in counted.not_counted.items()]
    for layer in counts.host:
        if layer.name in nodes:
            raise UsageError(f"host stage '{layer.name}'", "a chip node has that name", "Rename it")
        nodes[layer.name] = _dense_node(layer, n)
        if layer.not_counted:
            reason = f"host operators outside the multiply-accumulates: {', '.join(layer.not_counted)}"
            left_out.append(blocks.NotCounted(name=layer.name, reason=reason))
    return _block(n, totals, nodes, left_out, {})


def ann_block(counts: AnnCounts) -> blocks.Counts:
    """Return the `counts` block of an ANN's row: `synops_mac` are the products with a non-zero input."""
    totals = {
        "spikes": None,
        "synops_ac": None,
        "synops_mac": counts.nonzero_macs,
        "dense_macs": counts.macs * counts.samples,
        "neuron_updates": None,
    }
    missing = dict.fromkeys(("spikes", "synops_ac", "neuron_updates"), NOT_SPIKING)
    if counts.nonzero_macs is None:
        missing["synops_mac"] = NOT_SEEN
    nodes: dict[str, blocks.Node] = {layer.name: _dense_node(layer, counts.samples) for layer in counts.layers}
    left_out = [blocks.NotCounted(name=k, reason=why) for k, why in counts.not_counted.items()]
    return _block(counts.samples, totals, nodes, left_out, missing)


def _block(
    samples: int,
    totals: Mapping[str, int | None],
    nodes: dict[str, blocks.Node],
    left_out: list[blocks.NotCounted],
    missing: dict[str, str],
) -> blocks.Counts:
    means = {name: None if total is None else total / samples for name, total in totals.items()}
    return blocks.Counts(
        samples=samples,
        per_sample=blocks.PerSample.model_validate(means),
        totals=blocks.Totals.model_validate(totals),
        per_node=nodes,
        not_counted=tuple(left_out),
        missing=missing,
    )


def _chip_nodes(stage: StageCounts) -> dict[str, blocks.Node]:
    n = stage.samples
    nodes: dict[str, blocks.Node] = {}
    for name, s in stage.synapses.items():
        nodes[name] = blocks.SynapseNode(
            events=s.events / n,
            synops_ac=s.ac / n,
            synops_mac=s.mac / n,
            dense_macs=s.dense / n,
            weights=s.weights,
        )
    for name, c in stage.neurons.items():
        nodes[name] = blocks.NeuronNode(
            emits="values" if c.spikes is None else "spikes",
            neurons=c.neurons,
            spikes=None if c.spikes is None else c.spikes / n,
            rate=None if c.spikes is None else c.spikes / c.updates,
            neuron_updates=c.updates / n,
        )
    return nodes


def _dense_node(layer: DenseLayer, samples: int) -> blocks.DenseNode:
    return blocks.DenseNode(
        passes=layer.passes,
        dense_macs=layer.macs,
        nonzero_macs=None if layer.nonzero_macs is None else layer.nonzero_macs / samples,
        weights=layer.weights,
    )
