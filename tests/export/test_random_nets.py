"""Random networks over all that the exporter takes: the same network after NIR, or refused for a known reason."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import pytest
import torch
from random_nets import random_case

from spikeport.errors import UnfaithfulError
from spikeport.export.audit import Agreement, audit
from spikeport.export.author import check_trace
from spikeport.export.back import imported
from spikeport.export.convert import convert
from spikeport.export.convert.trace import Trace, trace
from spikeport.export.cut import cut
from spikeport.export.graph import ChipGraph
from spikeport.export.run_parts import run_parts
from spikeport.export.sides import placed
from spikeport.export.verify import record_model, verify

DT = 1e-3

# All that an export may refuse. Short on purpose: a new line here is a loss.
REFUSALS = (
    r"Lapicque's reset_mechanism='zero' swallows the input",
    r"Alpha's reset_mechanism='(zero|subtract)' overwrites its currents",
    r"RSynaptic with reset_mechanism='zero'",
    r"it is called 2 times in one step, so that its membrane advances as often",
    r"forward resets it, or gives it a state",
    r"it reads the state 'mem' of neuron '\w+', which no NIR node emits",
    # A membrane that only rounding lifts off its threshold, in a sample too short to call that rare.
    r"entries lie within rounding of a threshold",
    # A batch norm whose mean cancels the bias before it, in float64: the folded bias has no bound on what was lost.
    r"entries differ beyond rounding, .*, margin -?\d\.\d+e-(1[5-9]|2\d)\.",
)
# All that the way back to snnTorch may refuse.
BACK_REFUSALS = (r"register edge \w+_above -> \w+_held: .* not yet the reset without delay",)


@dataclass
class Tally:
    """What became of a number of networks.

    Attributes:
        accepted: networks exported, by feature.
        refused: reasons, with the seeds.
        spikes: compared between snnTorch and the graph.
        back: networks imported again, by feature.
        back_refused: reasons, with the seeds.
        back_spikes: compared between the imported network and the graph.
    """

    accepted: Counter[str] = field(default_factory=Counter)
    refused: dict[int, str] = field(default_factory=dict)
    spikes: int = 0
    back: Counter[str] = field(default_factory=Counter)
    back_refused: dict[int, str] = field(default_factory=dict)
    back_spikes: int = 0

    def add(self, seed: int) -> None:
        """Export a network, and import what is on the chip alone."""
        model, sample = random_case(seed)
        try:
            graph, spikes = exported(model, sample)
        except UnfaithfulError as error:
            self.refused[seed] = str(error)
            return
        self.spikes += spikes
        self.accepted.update(model.features)
        if graph is None:
            return
        try:
            again = imported(graph, torch.float64)
        except UnfaithfulError as error:
            self.back_refused[seed] = str(error)
            return
        agreement = audit(graph, {n: x.numpy() for n, x in sample.items()}, record_model(again, sample))
        assert agreement.mismatches == 0, seed
        assert set(agreement.per_node) == {*graph.neurons, *graph.outputs}
        self.back_spikes += spikes_of(agreement)
        self.back.update(model.features)


def exported(model, sample) -> tuple[ChipGraph | None, int]:
    """Return the graph, if it is one, and the spikes that agreed at every neuron node."""
    first = {n: x[0] for n, x in sample.items()}
    try:
        conversion = convert(model, first, DT)
    except UnfaithfulError:
        traced = trace(model, first)
        check_trace(model, traced, sample)
        if not placed(traced).needs_host:
            raise
        return None, cut_spikes(traced, sample)
    check_trace(model, conversion.trace, sample)
    return conversion.graph, spikes_of(verify(conversion, sample))


def cut_spikes(traced: Trace, sample) -> int:
    """Return the spikes that agreed on the chip's parts of a network that is cut."""
    step = cut(traced, placed(traced))
    tensors = run_parts(step, sample, traced.loops).tensors
    spikes = 0
    for part in (part for part in step.parts if part.kind == "chip"):
        given = {a: tensors[t] for a, t in part.inputs}
        spikes += spikes_of(verify(convert(part.module, {n: x[0] for n, x in given.items()}, DT), given))
    return spikes


def spikes_of(agreement: Agreement) -> int:
    return sum(node.spikes_backend or 0 for node in agreement.per_node.values())


def check(seeds: range) -> Tally:
    tally = Tally()
    for seed in seeds:
        tally.add(seed)
    for reasons, known in ((tally.refused, REFUSALS), (tally.back_refused, BACK_REFUSALS)):
        unknown = {s: r for s, r in reasons.items() if not any(re.search(pattern, r) for pattern in known)}
        assert unknown == {}
    return tally


def test_sixty_random_networks_mean_the_same() -> None:
    tally = check(range(60))
    assert len(tally.refused) < 15
    assert tally.spikes > 20_000
    assert tally.back_spikes > 10_000
    assert len(tally.accepted) > 50


@pytest.mark.slow
def test_five_hundred_random_networks_mean_the_same() -> None:
    tally = check(range(1000, 1500))
    # Refused, unless no output depends on the neuron.
    refusable = {"Lapicque zero", "Alpha zero", "Alpha subtract", "RSynaptic zero", "neuron used twice"}
    rare = {name: n for name, n in tally.accepted.items() if n < 20 and name not in refusable}
    assert len(tally.refused) < 75
    assert rare == {}
