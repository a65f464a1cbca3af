"""Two backends on the same stages: every spike and value of every node, bit for bit, latency included.

This is stricter than the audit, which holds a backend against the float reference within rounding. It is for pairs that
claim to compute the same integers, such as `loihi` and `lava-fixed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spikeport.deploy.pipeline import NetworkRun
from spikeport.errors import UsageError
from spikeport.export.recording import Recording


@dataclass(frozen=True)
class Difference:
    """How two recordings of one stage differ.

    Attributes:
        entries: spikes and values compared, over all nodes, steps, samples and neurons.
        differing: how many of them are not the same.
        first: node, step, sample and neuron of the earliest, `None` where there is none.
    """

    entries: int
    differing: int
    first: tuple[str, int, int, tuple[int, ...]] | None


def compare_runs(ours: NetworkRun, theirs: NetworkRun) -> dict[str, Difference]:
    """Compare every chip stage of two runs on the same inputs."""
    return {stage: compare(stage, ours.recordings[stage], theirs.recordings[stage]) for stage in ours.recordings}


def compare(stage: str, ours: Recording, theirs: Recording) -> Difference:
    """Compare two recordings of a stage.

    Raises:
        UsageError: they record other nodes, or with another latency: there is nothing to hold side by side.
    """
    if set(ours.nodes) != set(theirs.nodes) or dict(ours.latency_steps) != dict(theirs.latency_steps):
        raise UsageError(
            f"stage '{stage}'",
            "the two backends record other nodes, or need another time for each",
            "Compare backends of one family, such as loihi and lava-fixed",
        )
    entries = differing = 0
    earliest: dict[str, tuple[int, ...]] = {}
    for name, values in ours.nodes.items():
        places = np.argwhere(values != theirs.nodes[name])
        entries += values.size
        differing += len(places)
        if len(places):
            earliest[name] = tuple(int(n) for n in places[0])
    if not earliest:
        return Difference(entries, 0, None)
    name = min(earliest, key=lambda node: earliest[node][0])
    step, sample, *neuron = earliest[name]
    return Difference(entries, differing, (name, step, sample, tuple(neuron)))


def lines(differences: Mapping[str, Difference], ours: str, theirs: str) -> list[str]:
    """Say in a line a stage how the two backends compare."""
    said = []
    for stage, found in differences.items():
        line = f"{stage}: {ours} and {theirs} differ in {found.differing:,} of {found.entries:,} entries"
        if found.first:
            node, step, sample, neuron = found.first
            line += f", first at node '{node}', step {step}, sample {sample}, neuron {neuron}"
        said.append(line)
    return said
