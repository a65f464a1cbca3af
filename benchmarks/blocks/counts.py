"""Blocks of what one inference does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spikeport.benchmarks.blocks.base import Amount, Block, Count, Fraction, unexplained


class Stage(Block):
    """One stage's share of the network's operations (ACs and MACs), null where they were not counted."""

    kind: Literal["chip", "host"]
    share_of_ops: Fraction | None


class PerSample(Block):
    """Means per sample.

    Attributes:
        spikes: of all spiking nodes.
        synops_ac: accumulates, by values of exactly 1 and -1.
        synops_mac: multiply-accumulates, by all other non-zero values; a host stage's are dense.
        dense_macs: what a machine without event skipping does over all steps.
        neuron_updates: one neuron in one step each.
        state_accesses: state variables of neurons, each read and written once an update.
        crossings_to_chip: non-zero elements that reach a chip stage from outside of it.
        crossings_to_host: non-zero elements that leave a chip stage.
    """

    spikes: Amount | None
    synops_ac: Amount | None
    synops_mac: Amount | None
    dense_macs: Amount | None
    neuron_updates: Amount | None
    state_accesses: Amount | None
    crossings_to_chip: Amount | None
    crossings_to_host: Amount | None


class Totals(Block):
    """The exact sums over all samples that `PerSample` divides."""

    spikes: Count | None
    synops_ac: Count | None
    synops_mac: Count | None
    dense_macs: Count | None
    neuron_updates: Count | None
    state_accesses: Count | None
    crossings_to_chip: Count | None
    crossings_to_host: Count | None


class NeuronNode(Block):
    """A neuron node; means per sample. `spikes` and `rate` (per neuron and step) are null iff it emits values."""

    kind: Literal["neurons"] = "neurons"
    emits: Literal["spikes", "values"]
    neurons: Count
    spikes: Amount | None
    rate: Fraction | None
    neuron_updates: Amount

    @model_validator(mode="after")
    def _spikes_if_spiking(self) -> NeuronNode:
        if (self.emits == "spikes") != (self.spikes is not None) or (self.spikes is None) != (self.rate is None):
            raise ValueError(f"a node that emits {self.emits} with spikes {self.spikes} and rate {self.rate}")
        return self


class SynapseNode(Block):
    """A weighted node; means per sample.

    `events` are the non-zero values that reach it, null for a product of two activations, which stores no weights.
    """

    kind: Literal["synapses"] = "synapses"
    events: Amount | None
    synops_ac: Amount
    synops_mac: Amount
    dense_macs: Amount
    weights: Count
    zero_weights: Count


class DenseNode(Block):
    """A layer that runs densely (the ANN's, or a host stage); means per sample.

    `nonzero_macs` and `zero_weights` are null where they were not seen.
    """

    kind: Literal["dense"] = "dense"
    passes: Count
    dense_macs: Amount
    nonzero_macs: Amount | None
    weights: Count
    zero_weights: Count | None


Node = Annotated[NeuronNode | SynapseNode | DenseNode, Field(discriminator="kind")]


class NotCounted(Block):
    """Work that is in no figure, by name."""

    name: str
    reason: str


class Crossing(Block):
    """A tensor that passes between a chip stage and what is not on the chip; means per sample, all steps together.

    Attributes:
        tensor: its name.
        to: which way it passes.
        source: the stage that writes it, `input` for an input of the network.
        targets: the stages that read it, `output` for an answer of the network; each tensor crosses once a way.
        elements: as handed over, zeros too.
        nonzero: those that are not 0: spikes, for a binary tensor.
        dense_bytes: of all elements as 32-bit floats, as the stages hand them on.
    """

    tensor: str
    to: Literal["chip", "host"]
    source: str
    targets: tuple[str, ...] = Field(min_length=1)
    elements: Amount
    nonzero: Amount
    dense_bytes: Amount


class Footprint(Block):
    """What the torch model stores.

    Attributes:
        parameters: elements of all parameters, a shared one once.
        parameter_bytes: of them.
        buffer_bytes: of constant buffers.
        state_bytes: neuron state of one sample, whatever the batch.
    """

    parameters: Count
    parameter_bytes: Count
    buffer_bytes: Count
    state_bytes: Count


class Counts(Block):
    """What one inference does. Null figures have their reason in `missing`.

    Attributes:
        samples: that the totals sum over.
        per_sample: means.
        totals: exact sums.
        weight_sparsity: the share of zeros among the stored weights of all nodes.
        activation_sparsity: the share of zeros in what all spiking nodes emitted.
        per_node: by node.
        crossings: the tensors behind the crossings.
        not_counted: work in no figure.
    """

    samples: Annotated[int, Field(ge=1)]
    per_sample: PerSample
    totals: Totals
    weight_sparsity: Fraction | None
    activation_sparsity: Fraction | None
    per_node: dict[str, Node]
    crossings: tuple[Crossing, ...] = ()
    not_counted: tuple[NotCounted, ...]
    missing: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _explained(self) -> Counts:
        shares = ("weight_sparsity", "activation_sparsity")
        sums = {name: why for name, why in self.missing.items() if name not in shares}
        unexplained(self.per_sample, tuple(PerSample.model_fields), sums)
        unexplained(self.totals, tuple(Totals.model_fields), sums)
        unexplained(self, shares, {name: why for name, why in self.missing.items() if name in shares})
        return self
