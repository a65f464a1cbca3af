"""Random networks as their authors run them: refused with a reason, or the same in the bundle and on backends."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from random_deploys import Deploys

# All that an export may refuse. Short on purpose: a new line here is a loss.
REFUSALS = (
    r"Lapicque's reset_mechanism='zero' swallows the input",
    r"Alpha's reset_mechanism='(zero|subtract)' overwrites its currents",
    r"RSynaptic with reset_mechanism='zero'",
    r"it is called 2 times in one step, so that its membrane advances as often",
    r"it reads the state 'mem' of neuron '[\w.]+', which no NIR node emits",
    r"entries lie within rounding of a threshold",
    # Forward resets a neuron, or changes what is not its own.
    r"forward resets it, or gives it a state",
    r"in place",
)


def drawn(seeds: range, folder: Path) -> Deploys:
    tally = Deploys()
    for seed in seeds:
        tally.add(seed, folder)
    assert tally.silent == {}
    assert {s: why for s, why in tally.refused.items() if not any(re.search(known, why) for known in REFUSALS)} == {}
    return tally


def hold(tally: Deploys, chunk: int, floats: int | None = None) -> None:
    """Every stage that a float backend takes, of the first `floats`, is exact there, and Lava's integers are ours."""
    for name in ("norse", "lava-float"):
        tally.deploy(name, chunk, floats)
    ours, theirs = (tally.deploy(name, chunk) for name in ("loihi", "lava-fixed"))
    assert {name: stages for name, stages in tally.differing.items() if stages} == {}
    assert ours.keys() == theirs.keys()
    for key, recording in ours.items():
        for node, values in recording.nodes.items():
            np.testing.assert_array_equal(values, theirs[key].nodes[node], err_msg=node)


def test_sixty_networks_answer_as_their_authors_loops_do(tmp_path) -> None:
    tally = drawn(range(5000, 5060), tmp_path)
    assert tally.networks > 40
    hold(tally, 12, floats=12)
    assert min(tally.compared[name] for name in ("norse", "lava-float", "loihi", "lava-fixed")) > 10_000


@pytest.mark.slow
def test_five_hundred_networks_answer_as_their_authors_loops_do(tmp_path, capsys) -> None:
    tally = drawn(range(6000, 6500), tmp_path)
    try:
        hold(tally, 25)
    finally:
        with capsys.disabled():
            sys.stdout.write("\n".join(["", *tally.lines(), ""]))
    rare = ("reset in forward", "linear read-out", "MaxPool of values", "MaxPool2d of spikes", "several outputs")
    assert min(tally.accepted[feature] for feature in rare[1:]) >= 20
