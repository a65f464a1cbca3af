"""Rounding in any arrangement is within the audit's bounds, and the bounds are not vacuous."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest
from audit_nets import F32, in_float32, inputs, network
from export_nets import DT, chain
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeport.export.audit import audit
from spikeport.export.interpreter import Interpreter, run
from spikeport.export.recording import FLOAT32, FLOAT64, Recording
from spikeport.export.rounding import ErrorBounds


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["lif", "cuba", "if"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.2, 0.9, 0.99]),
)
def test_float32_in_any_arrangement_is_within_the_bounds(seed, kind, folded, shuffled, leaky_form, beta):
    chip, x = network(seed, kind, beta=beta), inputs(seed)
    agreement = audit(chip, {"input": x}, in_float32(chip, x, folded, shuffled, leaky_form))
    assert agreement.mismatches == 0
    assert agreement.entries == 60 * 4 * (12 + 3 + 3)


def test_the_float32_stand_in_is_another_arithmetic():
    """Otherwise the property above would hold by itself."""
    chip, x = network(0), inputs(0)
    plain = in_float32(chip, x, False, False, False).nodes["v"]
    other = in_float32(chip, x, True, True, True).nodes["v"]
    exact = run(chip, {"input": x}).nodes["v"]
    assert (plain != other).any()
    assert (plain != exact).any()
    assert 0.02 < run(chip, {"input": x}).nodes["cell"].mean() < 0.9
    beyond = replace(Recording({}, {}, 0, None), nodes=in_float32(chip, x, True, True, True).nodes)
    held = replace(beyond, latency_steps=dict.fromkeys(beyond.nodes, 0), timesteps=60, unit_roundoff=FLOAT64)
    assert audit(chip, {"input": x}, held).mismatches > 0  # float32 does not pass as float64


@pytest.mark.parametrize("kind", ["lif", "cuba", "if"])
def test_the_bounds_are_not_vacuous(kind):
    chip, x = network(2, kind), inputs(2, steps=100)
    seen: dict[str, list[float]] = {"cell": [], "v": []}

    def decide(name, v_BN, spikes_BN):
        # The neurons that could fire at all: an inhibited one drifts away from its threshold without bound.
        near = np.abs(v_BN - chip.nodes[name].v_threshold) < 1
        seen[name].append(float(bounds.error(name)[near].max(initial=0)))
        bounds.fire(name, spikes_BN)
        return spikes_BN

    follow = Interpreter(chip, decide)
    bounds = ErrorBounds(follow, FLOAT32)
    follow.reset(4)
    bounds.reset(4)
    for x_BN in x:
        bounds.begin_step()
        follow.step({"input": x_BN})
        bounds.end_step()
        seen["v"].append(float(bounds.error("v").max()))
    for name, bound in seen.items():
        assert 1e-8 < max(bound) < 1e-3, name


@pytest.mark.parametrize("beta", [0.99, 0.999, 0.9999])
@pytest.mark.parametrize("form", ["leaky", "euler"])
def test_a_long_lived_membrane_is_within_the_bounds(form, beta):
    """Nothing but the update line rounds here, for 400 steps: what is bounded is its own rounding."""
    chip = chain((50,), nir.LI(tau=np.full(50, DT / (1 - beta)), r=np.full(50, 1 / (1 - beta)), v_leak=np.zeros(50)))
    x = np.random.default_rng(0).integers(0, 2, (400, 2, 50)).astype(float)
    a, v, rows = F32(1 - beta), np.zeros((2, 50), F32), []
    for x_BN in x.astype(F32):
        v = F32(beta) * v + x_BN if form == "leaky" else v + a * (F32(1 / (1 - beta)) * x_BN - v)
        rows.append(v)
    nodes = {"n0": np.stack(rows), "output": np.stack(rows)}
    agreement = audit(chip, {"input": x}, Recording(nodes, dict.fromkeys(nodes, 0), 400, FLOAT32))
    assert agreement.mismatches == 0
    error = np.abs(nodes["n0"] - run(chip, {"input": x}).nodes["n0"])
    assert error.max() > FLOAT32 * np.abs(nodes["n0"]).max()  # more than the last rounding alone
