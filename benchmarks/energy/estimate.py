"""Energy of one inference from exact counts, and the break-even against the ANN.

Chip: `E = AC e_ac + MAC e_mac + U e_update + memory`, ANN and host layers: `E = MAC e_mac + memory`, per sample.
Memory, after Lemaire et al. 2022 (arXiv:2210.13107, equations 3 to 17) with exact counts in place of averages:
each synaptic operation reads a weight and reads and writes a potential; each event is read from a queue, each spike
written to one, each neuron update reads and writes a potential. Addresses cost two multiply-accumulates per
event of a convolution and one addition per synaptic operation. A dense layer reads a weight per product, its
input per product (convolution) or once (linear), and writes each output; its addresses cost an addition per
input and output (convolution) or product (linear).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spikeport.benchmarks.blocks import EnergyEstimate
from spikeport.benchmarks.counting.layers import AnnCounts, DenseLayer
from spikeport.benchmarks.counting.network import NetworkCounts
from spikeport.benchmarks.counting.stage import NeuronCounts, SynapseCounts
from spikeport.benchmarks.energy.model import EnergyModel, Memory, Variant
from spikeport.errors import UnfaithfulError


@dataclass(frozen=True)
class Energy:
    """Picojoules per sample.

    Attributes:
        events_pj: in proportion to the synaptic events: operations, their memory, their spikes.
        fixed_pj: the same at any spike rate: neuron updates and the host.
    """

    events_pj: float
    fixed_pj: float

    @property
    def total_pj(self) -> float:
        """Both."""
        return self.events_pj + self.fixed_pj


def spiking_energy(counts: NetworkCounts, variant: Variant) -> Energy:
    """Return the energy of a spiking network, host layers included."""
    events = updates = 0.0
    for stage in counts.chip.values():
        events += sum(_synapses_pj(s, variant) for s in stage.synapses.values())
        events += sum(_spikes_pj(n, variant) for n in stage.neurons.values())
        updates += sum(_updates_pj(n, variant) for n in stage.neurons.values())
    host = sum(dense_pj(layer, variant) for layer in counts.host)
    return Energy(events / counts.samples, updates / counts.samples + host)


def ann_energy(counts: AnnCounts, variant: Variant) -> Energy:
    """Return the energy of a dense ANN."""
    return Energy(0.0, sum(dense_pj(layer, variant) for layer in counts.layers))


def _synapses_pj(s: SynapseCounts, variant: Variant) -> float:
    total = s.ac * variant.ac_pj + s.mac * variant.mac_pj
    memory = variant.memory
    if memory is None:
        return total
    synops = s.ac + s.mac
    total += synops * (memory.access_pj(s.weights) + 2 * memory.access_pj(s.outputs))
    total += s.events * memory.access_pj(memory.fifo_words) + synops * memory.address_add_pj
    return total + (2 * s.events * memory.address_mac_pj if s.conv else 0.0)


def _spikes_pj(n: NeuronCounts, variant: Variant) -> float:
    if variant.memory is None or n.spikes is None:
        return 0.0
    return n.spikes * variant.memory.access_pj(variant.memory.fifo_words)


def _updates_pj(n: NeuronCounts, variant: Variant) -> float:
    total = 0.0 if variant.update_pj is None else n.updates * variant.update_pj
    if variant.memory is not None:
        total += 2 * n.updates * variant.memory.access_pj(n.neurons)
    return total


def dense_pj(layer: DenseLayer, variant: Variant) -> float:
    """Return the picojoules per sample of a layer that skips nothing."""
    total = layer.macs * variant.mac_pj
    if variant.memory is not None:
        total += layer.passes * _dense_memory_pj(layer, variant.memory)
    return total


def _dense_memory_pj(layer: DenseLayer, memory: Memory) -> float:
    """One pass."""
    conv = layer.kind == "conv"
    reads = layer.macs_per_pass if conv else layer.inputs
    additions = layer.inputs + layer.outputs if conv else layer.macs_per_pass
    return (
        layer.macs_per_pass * memory.access_pj(layer.weights)
        + reads * memory.access_pj(layer.inputs)
        + layer.outputs * memory.access_pj(layer.outputs)
        + additions * memory.address_add_pj
    )


def energy_of(counts: NetworkCounts | AnnCounts, variant: Variant) -> Energy:
    """Return the energy of either kind of network."""
    return spiking_energy(counts, variant) if isinstance(counts, NetworkCounts) else ann_energy(counts, variant)


def estimate(counts: NetworkCounts | AnnCounts, model: EnergyModel) -> EnergyEstimate:
    """Return the estimate of one model over all its variants; null with the reason where it does not apply."""
    try:
        totals = {v.name: energy_of(counts, v).total_pj for v in model.variants}
        reason = None
    except UnfaithfulError as error:
        totals, reason = {}, str(error)
    return EnergyEstimate(
        model=model.name,
        per_sample_pj=totals.get(model.nominal),
        low_pj=min(totals.values(), default=None),
        high_pj=max(totals.values(), default=None),
        source=model.citation,
        leaves_out=model.leaves_out,
        title=model.title,
        nominal=model.nominal,
        technology=model.technology,
        confidence=model.confidence,
        reason=reason,
    )


def energy_rows(counts: NetworkCounts | AnnCounts, models: Iterable[EnergyModel]) -> tuple[EnergyEstimate, ...]:
    """Return the `energy` of a row: one estimate per model."""
    return tuple(estimate(counts, model) for model in models)
