"""What a sample exercised: a proof says nothing of a neuron that never fired on it, nor of a pause that never came.

A neuron is *exercised* where it fired at least once and did not fire at every step of every sample. Value nodes (LI,
CubaLI, I) are not counted: they have no threshold, and the audit compares their values at every step.

Shapes: T time, B batch, `*` the node's own shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.graph import ChipGraph
from spikeport.export.recording import Recording, Values

ADVICE = "give more samples, or samples that drive it"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NodeCoverage(_Model):
    """What the sample exercised of one spiking node.

    Attributes:
        neurons: elements of the node's shape.
        share: of them exercised: (neurons - never_exercised - always) / neurons.
        never_exercised: neurons that never fired.
        always: neurons that fired at every step of every sample.
    """

    neurons: int = Field(ge=1)
    share: float = Field(ge=0, le=1)
    never_exercised: int = Field(ge=0)
    always: int = Field(ge=0)

    @model_validator(mode="after")
    def _adds_up(self) -> NodeCoverage:
        if self.share != (self.neurons - self.never_exercised - self.always) / self.neurons:
            raise ValueError("the share is not that of the neurons which fired and did not always fire")
        return self

    @classmethod
    def of(cls, spikes_TB: Values) -> NodeCoverage:
        """Return what the spikes [T, B, *] of one node exercised."""
        neurons = int(np.prod(spikes_TB.shape[2:]))
        never = neurons - int(np.count_nonzero(np.any(spikes_TB, axis=(0, 1))))
        always = int(np.count_nonzero(np.all(spikes_TB, axis=(0, 1))))
        share = (neurons - never - always) / neurons
        return cls(neurons=neurons, share=share, never_exercised=never, always=always)

    @property
    def percent(self) -> str:
        """The share, rounded down: what is not all never reads as 100 %."""
        exercised = self.neurons - self.never_exercised - self.always
        return f"{1000 * exercised // self.neurons / 10:g} %"

    def told(self) -> str:
        """Return the share, and why it is not all."""
        parts = [self.percent]
        if self.never_exercised:
            parts.append(f"{self.never_exercised} of {self.neurons} never fired")
        if self.always:
            parts.append(f"{self.always} of {self.neurons} always fired")
        return ", ".join(parts)


class Coverage(_Model):
    """What the sample exercised of a network, by spiking node; `stage.node` where there are several chip stages."""

    per_node: dict[str, NodeCoverage]

    @property
    def unproven(self) -> tuple[str, ...]:
        """The nodes of which no neuron fired."""
        return tuple(name for name, node in self.per_node.items() if node.never_exercised == node.neurons)

    @property
    def least(self) -> NodeCoverage | None:
        """Of the node with the smallest share; `None` where no node fires spikes."""
        return min(self.per_node.values(), key=lambda node: node.share, default=None)

    def below(self, share: float) -> dict[str, NodeCoverage]:
        """Return the nodes of which less than `share` was exercised."""
        return {name: node for name, node in self.per_node.items() if node.share < share}


def cover(chips: Iterable[tuple[str, ChipGraph, Recording]], host: Mapping[str, Values] | None = None) -> Coverage:
    """Return what recordings exercised.

    Args:
        chips: each chip stage's name, graph and recording.
        host: spikes [T, B, *] of the neurons that run on the host, by `stage.neuron`.
    """
    stages = list(chips)
    named = {
        (f"{stage}.{node}" if len(stages) > 1 else node): recording.aligned(node)
        for stage, graph, recording in stages
        for node in graph.spiking
    }
    return Coverage(per_node={name: NodeCoverage.of(spikes) for name, spikes in {**named, **(host or {})}.items()})


def lines(coverage: Coverage) -> list[str]:
    """Say what was exercised: every node that was not in full, and what is therefore not proven."""
    nodes, least = coverage.per_node, coverage.least
    if least is None:
        return ["coverage: no node fires spikes"]
    if least.share == 1:
        return ["coverage: 100 %, every neuron fired and none fired always"]
    told = ["coverage: neurons that fired and did not always fire, of each node where these are not all"]
    told += [f"  {name}: {node.told()}" for name, node in nodes.items() if node.share < 1]
    return [*told, *unproven_lines(coverage)]


def unproven_lines(coverage: Coverage) -> list[str]:
    """Name every node that is not proven, with what would prove it."""
    return [f"not proven: {name} never fired: {ADVICE}" for name in coverage.unproven]


def check_required(share: float | None, verified: bool) -> None:
    """Raise where a coverage is required that none can have.

    Raises:
        UsageError: it is no share of 1, or nothing is verified.
    """
    if share is None:
        return
    if not 0 <= share <= 1:
        raise UsageError(f"required coverage {share:g}", "it is a share of 1", "Write 0.9 for 90 percent")
    if not verified:
        raise UsageError(f"required coverage {share:g}", "nothing is verified", "Verify, or require none")


def require(coverage: Coverage, share: float) -> None:
    """Hold a coverage against what is required.

    Raises:
        UnfaithfulError: less of a node was exercised; every such node is named.
    """
    if lacking := coverage.below(share):
        told = "; ".join(f"'{name}' {node.told()}" for name, node in lacking.items())
        fix = "Give more samples, or samples that drive these nodes, or require less"
        raise UnfaithfulError(f"coverage below the required {share:g}", told, fix)
