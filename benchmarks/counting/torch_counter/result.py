"""What a torch model did: totals over all samples, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        neurons: in the layer, by the membranes that one sample has; a module called more than once a step has them
            once. Whatever the caller folds into the batch axis, tokens or steps, has membranes of its own.
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

    What neurons did and hold is `None` where one ran that no rule counts.

    Attributes:
        samples: as declared to `SpikeCounter.start`.
        layers: weighted layers by the path of their module or parameter, products of two activations by where they ran.
        neurons: by module path.
        parameters: elements of all parameters, a shared one once.
        parameter_bytes: of them.
        buffer_bytes: of constant buffers; neuron state and scalars of the snnTorch neurons are no part.
        known_state_bytes: state of one sample in `neurons`.
        not_counted: work in no figure: name -> reason.
        unknown_neurons: paths of the neurons that ran and are not in `neurons`.
    """

    samples: int
    layers: Mapping[str, LayerCounts]
    neurons: Mapping[str, NeuronCounts]
    parameters: int
    parameter_bytes: int
    buffer_bytes: int
    known_state_bytes: int
    not_counted: Mapping[str, str]
    unknown_neurons: tuple[str, ...] = ()

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
    def spikes(self) -> int | None:
        """Of all neurons."""
        return self._of_neurons(lambda n: n.spikes)

    @property
    def neuron_updates(self) -> int | None:
        """Neurons times steps."""
        return self._of_neurons(lambda n: n.updates)

    @property
    def membrane_traffic(self) -> int | None:
        """State elements read and written."""
        return self._of_neurons(lambda n: n.state_reads + n.state_writes)

    @property
    def state_bytes(self) -> int | None:
        """Neuron state of one sample."""
        return None if self.unknown_neurons else self.known_state_bytes

    @property
    def footprint_bytes(self) -> int | None:
        """Parameters, constant buffers and the state of one sample."""
        return None if self.state_bytes is None else self.parameter_bytes + self.buffer_bytes + self.state_bytes

    @property
    def activation_sparsity(self) -> float | None:
        """The share of zeros in what all neurons emitted; also `None` without neurons."""
        emitted = self._of_neurons(lambda n: n.emitted)
        return 1 - self.spikes / emitted if emitted and self.spikes is not None else None

    def _of_neurons(self, figure: Callable[[NeuronCounts], int]) -> int | None:
        return None if self.unknown_neurons else sum(map(figure, self.neurons.values()))

    @property
    def weight_sparsity(self) -> float | None:
        """The share of zeros among the stored weights of the layers that ran; `None` without any."""
        weights = sum(layer.weights for layer in self.layers.values())
        return sum(layer.zero_weights for layer in self.layers.values()) / weights if weights else None
