"""Random networks over all that the exporter takes: the same network after NIR, or refused for a known reason."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from random_nets import random_case

from spikeport.errors import UnfaithfulError
from spikeport.export.convert import convert
from spikeport.export.convert.trace import trace
from spikeport.export.cut import cut, needs_host
from spikeport.export.run_parts import run_parts
from spikeport.export.verify import verify

DT = 1e-3

# All that may be refused. Short on purpose: a new line here is a loss.
REFUSALS = (
    r"reset_mechanism='subtract' with reset_delay=False",
    r"Lapicque's reset_mechanism='zero' swallows the input",
    r"Alpha's reset_mechanism='(zero|subtract)' overwrites its currents",
    r"RSynaptic with reset_mechanism='zero'",
    # A membrane that only rounding lifts off its threshold, in a sample too short to call that rare.
    r"entries lie within rounding of a threshold",
)


def outcome(seed: int) -> tuple[set[str], str | None, int]:
    """Return the features of a random network, why it was refused, and how many spikes were compared."""
    model, sample = random_case(seed)
    try:
        return model.features, None, exported(model, sample)
    except UnfaithfulError as error:
        return model.features, str(error), 0


def exported(model, sample) -> int:
    first = {n: x[0] for n, x in sample.items()}
    traced = trace(model, first)
    if not needs_host(traced):
        return compared(model, sample)
    step = cut(traced)
    tensors = run_parts(step, sample, traced.loops).tensors
    chips = [part for part in step.parts if part.kind == "chip"]
    return sum(compared(part.module, {a: tensors[t] for a, t in part.inputs}) for part in chips)


def compared(model, sample) -> int:
    """Convert, verify at every neuron node in float64, return the spikes that agreed."""
    agreement = verify(convert(model, {n: x[0] for n, x in sample.items()}, DT), sample)
    return sum(node.spikes_backend or 0 for node in agreement.per_node.values())


def unknown(reason: str) -> bool:
    return not any(re.search(pattern, reason) for pattern in REFUSALS)


def check(seeds: range) -> tuple[Counter[str], int, int]:
    accepted: Counter[str] = Counter()
    refused = spikes = 0
    for seed in seeds:
        features, reason, count = outcome(seed)
        assert reason is None or not unknown(reason), f"seed {seed}: {reason}"
        refused += reason is not None
        spikes += count
        if reason is None:
            accepted.update(features)
    return accepted, refused, spikes


def test_sixty_random_networks_mean_the_same() -> None:
    accepted, refused, spikes = check(range(60))
    assert refused < 15
    assert spikes > 20_000
    assert len(accepted) > 40


@pytest.mark.slow
def test_five_hundred_random_networks_mean_the_same() -> None:
    accepted, refused, _ = check(range(1000, 1500))
    # Refused, unless no output depends on the neuron.
    refusable = {"Lapicque zero", "Alpha zero", "Alpha subtract", "RSynaptic zero"}
    rare = {name: n for name, n in accepted.items() if n < 20 and name not in refusable}
    assert refused < 60
    assert rare == {}
