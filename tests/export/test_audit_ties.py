"""What rounding could have decided: accepted, counted, listed and followed."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest
from audit_nets import near_threshold, recorded
from export_nets import chain, lif

from spikeport.export.audit import TIES_ALLOWED, TIES_LISTED, audit
from spikeport.export.interpreter import run
from spikeport.export.recording import FLOAT32, Recording


def test_ties_are_accepted_counted_listed_and_followed():
    chip, x = near_threshold(1e-8)
    made = recorded(chip, x)
    assert made.nodes["n0"].all()
    silent = {n: np.zeros_like(v) for n, v in made.nodes.items()}
    agreement = audit(chip, {"input": x}, replace(made, nodes=silent))
    assert (agreement.mismatches, agreement.ties) == (0, 120)  # the output follows, so it has no difference
    assert len(agreement.tie_list) == TIES_LISTED == 100
    assert not agreement.exact  # far more than 1e-5 of the entries
    assert agreement.tie_list[0].margin == pytest.approx(1e-8)
    far, x = near_threshold(1e-5)
    made = recorded(far, x)
    silent = {n: np.zeros_like(v) for n, v in made.nodes.items()}
    assert audit(far, {"input": x}, replace(made, nodes=silent)).mismatches == 240


def test_after_a_tie_the_state_is_the_backends():
    """beta = 1: after a swallowed spike the membrane keeps its charge, and fires at the next crumb."""
    chip = chain((1,), nir.IF(r=np.ones(1), v_threshold=np.ones(1), v_reset=np.zeros(1)))
    x = np.array([1 + 1e-8, 0.5, 0.4]).reshape(3, 1, 1)
    assert run(chip, {"input": x}).nodes["n0"].ravel().tolist() == [1, 0, 0]
    took = np.array([0, 1, 0]).reshape(3, 1, 1)
    agreement = audit(chip, {"input": x}, Recording({"n0": took, "output": took}, {"n0": 0, "output": 0}, 3, FLOAT32))
    assert (agreement.ties, agreement.mismatches) == (1, 0)
    stubborn = np.array([0, 0, 0]).reshape(3, 1, 1)
    other = Recording({"n0": stubborn, "output": stubborn}, {"n0": 0, "output": 0}, 3, FLOAT32)
    assert audit(chip, {"input": x}, other).per_node["n0"].mismatches == 1  # 1.5 had to fire


def test_exact_allows_one_tie_in_a_hundred_thousand():
    size, steps = 100, 1000
    chip = chain((size,), lif(size, a=1.0, theta=1.0))
    x = np.zeros((steps, 1, size))
    x[:3, 0, 0] = 1 + 1e-8
    made = recorded(chip, x)
    entries = 2 * size * steps
    for ties in (1, 2, 3):
        nodes = {n: np.array(v) for n, v in made.nodes.items()}
        for value in nodes.values():
            value[:ties, 0, 0] = 0
        agreement = audit(chip, {"input": x}, replace(made, nodes=nodes))
        assert (agreement.ties, agreement.entries) == (ties, entries)
        assert agreement.exact == (ties <= TIES_ALLOWED * entries == 2)


def test_listed_ties_do_not_depend_on_the_batch():
    chip, x = near_threshold(1e-8)
    made = recorded(chip, x)
    silent = {n: np.zeros_like(v) for n, v in made.nodes.items()}
    lists = [audit(chip, {"input": x}, replace(made, nodes=silent), batch=b).tie_list for b in (1, 2, 3)]
    assert lists[0] == lists[1] == lists[2]
    assert lists[0]


def test_a_quantised_recording_is_held_to_float64():
    chip, x = near_threshold(1e-8)
    made = recorded(chip, x, None)
    silent = {n: np.zeros_like(v) for n, v in made.nodes.items()}
    agreement = audit(chip, {"input": x}, replace(made, nodes=silent))
    assert agreement.ties == 0
    assert agreement.per_node["n0"].mismatches == 120
    assert agreement.jaccard == 0


def test_a_quantised_spike_at_the_threshold_is_no_tie():
    chip = chain((1,), lif(1, a=1.0, theta=1.0))
    x = np.ones((5, 1, 1))
    fired = np.ones((5, 1, 1), np.uint8)
    recording = Recording({"n0": fired, "output": fired}, {"n0": 0, "output": 0}, 5, None)
    agreement = audit(chip, {"input": x}, recording)
    assert (agreement.ties, agreement.per_node["n0"].mismatches) == (0, 5)
