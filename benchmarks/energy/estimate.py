"""Energy of one inference from exact counts, and the break-even against the ANN.

Chip: `E = AC e_ac + MAC e_mac + U e_update + S e_spike + events e_event + memory`, ANN and host layers:
`E = MAC e_mac + memory`, per sample. A machine that skips no zero does a multiply-accumulate for every synapse at
every step. A model without e_mac prices spikes only: graded events are refused, and the host is left out.
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
        if variant.dense:
            updates += sum(s.dense * _mac_pj(variant) for s in stage.synapses.values())
        else:
            events += sum(_synapses_pj(s, variant) for s in stage.synapses.values())
            events += sum(_spikes_pj(n, variant) for n in stage.neurons.values())
        updates += sum(_updates_pj(n, variant) for n in stage.neurons.values())
    host = 0.0 if variant.mac_pj is None else sum(dense_pj(layer, variant) for layer in counts.host)
    return Energy(events / counts.samples, updates / counts.samples + host)


def ann_energy(counts: AnnCounts, variant: Variant) -> Energy:
    """Return the energy of a dense ANN."""
    return Energy(0.0, sum(dense_pj(layer, variant) for layer in counts.layers))


def _synapses_pj(s: SynapseCounts, variant: Variant) -> float:
    assert variant.ac_pj is not None
    total = s.ac * variant.ac_pj + s.events * variant.event_pj
    if s.mac:
        total += s.mac * _mac_pj(variant)
    memory = variant.memory
    if memory is None:
        return total
    synops = s.ac + s.mac
    total += synops * (memory.access_pj(s.weights) + 2 * memory.access_pj(s.outputs))
    total += s.events * memory.access_pj(memory.fifo_words) + synops * memory.address_add_pj
    return total + (2 * s.events * memory.address_mac_pj if s.conv else 0.0)


def _spikes_pj(n: NeuronCounts, variant: Variant) -> float:
    if n.spikes is None:
        return 0.0
    queue = 0.0 if variant.memory is None else variant.memory.access_pj(variant.memory.fifo_words)
    return n.spikes * (variant.spike_pj + queue)


def _updates_pj(n: NeuronCounts, variant: Variant) -> float:
    total = 0.0 if variant.update_pj is None else n.updates * variant.update_pj
    if variant.memory is not None:
        total += 2 * n.variables * n.updates * variant.memory.access_pj(n.neurons)
    return total


def _mac_pj(variant: Variant) -> float:
    """Return the price of a product.

    Raises:
        UnfaithfulError: there is none.
    """
    if variant.mac_pj is None:
        reason = "it prices spikes only, and the network multiplies by graded values"
        raise UnfaithfulError(f"variant '{variant.name}'", reason, "Encode the inputs as spikes")
    return variant.mac_pj


def dense_pj(layer: DenseLayer, variant: Variant) -> float:
    """Return the picojoules per sample of a layer that skips nothing."""
    total = layer.macs * _mac_pj(variant)
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
        reason = model.none_published
    except UnfaithfulError as error:
        totals, reason = {}, str(error)
    return EnergyEstimate(
        model=model.name,
        per_sample_pj=totals.get(model.nominal) if model.nominal else None,
        low_pj=min(totals.values(), default=None),
        high_pj=max(totals.values(), default=None),
        source=model.citation,
        leaves_out=model.leaves_out,
        title=model.title,
        nominal=model.nominal,
        technology=model.technology,
        confidence=model.confidence,
        prices=model.prices,
        summary=model.summary,
        reason=reason,
    )


def energy_rows(counts: NetworkCounts | AnnCounts, models: Iterable[EnergyModel]) -> tuple[EnergyEstimate, ...]:
    """Return the `energy` of a row: one estimate per model that prices this kind of network.

    A threshold is no price of anything, and stands beside the measured spike rate in the comparisons.
    """
    ann = isinstance(counts, AnnCounts)
    return tuple(estimate(counts, m) for m in models if not m.thresholds and not (ann and m.prices == "spiking"))
