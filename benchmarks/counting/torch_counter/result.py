"""What a torch model did: totals over all samples, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCounts:
    """A weighted layer, or a product of two activations, over all samples.

    Attributes:
        rows: how many inputs it ran on: samples times steps (times positions, for a layer over sequences).
        events: non-zero input elements that reached it; `None` for a product of two activations.
        ac: operations on an element of exactly 1 or -1.
        mac: operations on any other non-zero element.
        dense: what a machine that skips no zero does, border-exact.
        weights: stored weights without biases, each once, whatever views of them are applied; what is made of the same
            parameters is one. 0 for a product of two activations.
        zero_weights: how many of them are exactly 0.
        by_step: (AC, MAC) of its n-th call since the batch's start, summed over batches; `None` unless asked for.
        by_sample: (AC, MAC) of each sample in the order seen; `None` unless asked for.
    """

    rows: int
    events: int | None
    ac: int
    mac: int
    dense: int
    weights: int
    zero_weights: int
    by_step: tuple[tuple[int, ...], ...] | None = None
    by_sample: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True)
class NeuronCounts:
    """A layer of spiking neurons over all samples.

    Attributes:
        neurons: in the layer; a module called more than once a step has them once.
        updates: one neuron in one step each.
        spikes: non-zero outputs.
        emitted: output elements; fewer than `updates` where the neuron pools its own output.
        state: elements that one sample's state needs, whatever the batch.
        state_reads: state elements read: every variable once an update.
        state_writes: state elements written, likewise.
        by_step: spikes of its n-th call since the batch's start, summed over batches; `None` unless asked for.
        by_sample: spikes of each sample in the order seen; `None` unless asked for.
    """

    neurons: int
    updates: int
    spikes: int
    emitted: int
    state: int
    state_reads: int
    state_writes: int
    by_step: tuple[int, ...] | None = None
    by_sample: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ModelCounts:
    """Totals over `samples` samples.

    Attributes:
        samples: as declared to `SpikeCounter.start`.
        layers: weighted layers by the path of their module or parameter, products of two activations by where they ran.
        neurons: by module path.
        parameters: elements of all parameters, a shared one once.
        parameter_bytes: of them.
        buffer_bytes: of constant buffers; neuron state and scalars of the snnTorch neurons are no part.
        state_bytes: neuron state of one sample.
        not_counted: work in no figure: name -> reason.
    """

    samples: int
    layers: Mapping[str, LayerCounts]
    neurons: Mapping[str, NeuronCounts]
    parameters: int
    parameter_bytes: int
    buffer_bytes: int
    state_bytes: int
    not_counted: Mapping[str, str]

    @property
    def synops_ac(self) -> int:
        """Operations without a product."""
        return sum(layer.ac for layer in self.layers.values())

    @property
    def synops_mac(self) -> int:
        """Operations with a product."""
        return sum(layer.mac for layer in self.layers.values())

    @property
    def dense_macs(self) -> int:
        """What a machine that skips no zero does."""
        return sum(layer.dense for layer in self.layers.values())

    @property
    def spikes(self) -> int:
        """Of all neurons."""
        return sum(n.spikes for n in self.neurons.values())

    @property
    def neuron_updates(self) -> int:
        """Neurons times steps."""
        return sum(n.updates for n in self.neurons.values())

    @property
    def membrane_traffic(self) -> int:
        """State elements read and written."""
        return sum(n.state_reads + n.state_writes for n in self.neurons.values())

    @property
    def footprint_bytes(self) -> int:
        """Parameters, constant buffers and the state of one sample."""
        return self.parameter_bytes + self.buffer_bytes + self.state_bytes

    @property
    def activation_sparsity(self) -> float | None:
        """The share of zeros in what all neurons emitted; `None` without neurons."""
        emitted = sum(n.emitted for n in self.neurons.values())
        return 1 - self.spikes / emitted if emitted else None

    @property
    def weight_sparsity(self) -> float | None:
        """The share of zeros among the stored weights of the layers that ran; `None` without any."""
        weights = sum(layer.weights for layer in self.layers.values())
        return sum(layer.zero_weights for layer in self.layers.values()) / weights if weights else None
