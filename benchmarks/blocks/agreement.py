"""Blocks of the audit against the reference interpreter."""

from __future__ import annotations

from pydantic import model_validator

from spikeport.benchmarks.blocks.base import Block, Count, Fraction


class Divergence(Block):
    """The first value that differs from the reference and is no tie.

    Attributes:
        node: where.
        step: the reference's step; negative where a node fired before its declared latency.
        neuron: index in the node's shape.
        margin: the reference's `v - v_threshold` there.
    """

    node: str
    step: int
    neuron: tuple[int, ...]
    margin: float


class NodeAgreement(Block):
    """One node's share of `Agreement`.

    `spikes` is the fraction of equal entries, of whatever the node emits. Spike counts and `jaccard` are null
    together, for a node that emits values.
    """

    spikes: Fraction
    ties: Count
    mismatches: Count
    jaccard: Fraction | None
    spikes_reference: Count | None
    spikes_backend: Count | None

    @model_validator(mode="after")
    def _together(self) -> NodeAgreement:
        if len({v is None for v in (self.jaccard, self.spikes_reference, self.spikes_backend)}) > 1:
            raise ValueError("jaccard and the spike counts are null together, for a node that emits values")
        return self


class Agreement(Block):
    """The audit against the reference interpreter on the same samples.

    Attributes:
        exact: no mismatch, and ties in at most 1e-5 of the entries.
        ties: differences that rounding explains.
        spikes: fraction of equal [T, B, N] entries.
        jaccard: spikes in both over spikes in either.
        latency_steps: declared lag of each node.
        first_divergence: null where there is none.
        per_node: the same, node by node.
    """

    exact: bool
    ties: Count
    spikes: Fraction
    jaccard: Fraction
    latency_steps: dict[str, Count]
    first_divergence: Divergence | None
    per_node: dict[str, NodeAgreement]
