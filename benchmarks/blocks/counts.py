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
    """Means per sample. `dense_macs` is what a machine without event skipping does over all steps."""

    spikes: Amount | None
    synops_ac: Amount | None
    synops_mac: Amount | None
    dense_macs: Amount | None
    neuron_updates: Amount | None


class Totals(Block):
    """The exact sums over all samples that `PerSample` divides."""

    spikes: Count | None
    synops_ac: Count | None
    synops_mac: Count | None
    dense_macs: Count | None
    neuron_updates: Count | None


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
    """A weighted node; means per sample. `events` are the non-zero values that reach it."""

    kind: Literal["synapses"] = "synapses"
    events: Amount
    synops_ac: Amount
    synops_mac: Amount
    dense_macs: Amount
    weights: Count


class DenseNode(Block):
    """A layer that runs densely (the ANN's, or a host stage); means per sample, `nonzero_macs` null if not seen."""

    kind: Literal["dense"] = "dense"
    passes: Count
    dense_macs: Amount
    nonzero_macs: Amount | None
    weights: Count


Node = Annotated[NeuronNode | SynapseNode | DenseNode, Field(discriminator="kind")]


class NotCounted(Block):
    """Work that is in no figure, by name."""

    name: str
    reason: str


class Counts(Block):
    """What one inference does. Null figures have their reason in `missing`."""

    samples: Annotated[int, Field(ge=1)]
    per_sample: PerSample
    totals: Totals
    per_node: dict[str, Node]
    not_counted: tuple[NotCounted, ...]
    missing: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _explained(self) -> Counts:
        unexplained(self.per_sample, tuple(PerSample.model_fields), self.missing)
        unexplained(self.totals, tuple(Totals.model_fields), self.missing)
        return self
