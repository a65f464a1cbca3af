"""Lava really run: its float is the reference spike for spike, its integers are the formulas bit for bit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deploy_nets import EXACT, delayed, inputs, mlp, readout, recurrent, skip, two_branches
from integer_oracle import simulate

from spikeport.deploy import backends
from spikeport.deploy.isolated import Environment
from spikeport.deploy.lava import fixed_backend, float_backend
from spikeport.deploy.lava.plan import Plan
from spikeport.deploy.lava.program import LavaProgram
from spikeport.deploy.loihi.quantise import quantise
from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph

Net = Callable[[], ChipGraph]


@pytest.mark.parametrize("make", EXACT)
def test_float_is_the_reference_spike_for_spike(make: Net) -> None:
    net = make()
    x = inputs(net)
    agreement = audit(net, x, float_backend.lower(net).run(x))
    assert agreement.exact, agreement.first_divergence
    assert all(node.spikes_reference != 0 for node in agreement.per_node.values())


def test_a_membrane_that_is_read_is_the_references() -> None:
    net = readout()
    x = inputs(net)
    agreement = audit(net, x, float_backend.lower(net).run(x))
    assert agreement.exact, agreement.first_divergence
    assert agreement.latency_steps["out"] == 2


def altered(net: ChipGraph, change: Callable[[Plan], Plan]) -> LavaProgram:
    program = float_backend.lower(net)
    return replace(program, plan=change(program.plan))


def test_a_bias_that_does_not_wait_is_found() -> None:
    net = two_branches()
    x = inputs(net)
    naive = altered(net, lambda plan: replace(plan, layers=[replace(layer, onset=0) for layer in plan.layers]))
    assert audit(net, x, naive.run(x)).mismatches > 0


def test_a_branch_that_does_not_wait_is_found() -> None:
    net = skip()
    x = inputs(net)
    naive = altered(net, lambda plan: replace(plan, hops=[replace(hop, wait=0) for hop in plan.hops]))
    agreement = audit(net, x, naive.run(x))
    assert agreement.first_divergence is not None
    assert agreement.first_divergence.node == "l3"


def test_a_sample_is_the_same_alone_beside_and_after_others(monkeypatch: pytest.MonkeyPatch) -> None:
    net = recurrent()
    x = inputs(net, samples=5)
    program = float_backend.lower(net)
    beside = program.run(x)
    monkeypatch.setattr(LavaProgram, "copies", lambda self, samples: 2)
    after = program.run(x)
    alone = program.run({name: value[:, 4:] for name, value in x.items()})
    np.testing.assert_array_equal(beside.nodes["y"], after.nodes["y"])
    np.testing.assert_array_equal(beside.nodes["y"][:, 4:], alone.nodes["y"])
    carried = altered(net, lambda plan: replace(plan, layers=[replace(layer, onset=0) for layer in plan.layers]))
    assert not np.array_equal(carried.run(x).nodes["y"][:, 4:], alone.nodes["y"])


def test_the_running_python_gives_the_same_as_3_10() -> None:
    net = mlp()
    x = inputs(net)
    program = float_backend.lower(net)
    here = replace(program, environment=Environment("lava", python=Path(sys.executable)))
    assert here.environment.interpreter() != program.environment.interpreter()
    expected, got = program.run(x).nodes, here.run(x).nodes
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values)


@pytest.mark.parametrize("make", [*EXACT, readout])
def test_fixed_is_the_formulas_bit_for_bit(make: Net) -> None:
    net = make()
    x = inputs(net)
    quantised = quantise(net, x)
    recording = fixed_backend.lower(net, x).run(x)
    expected = simulate(quantised, {name: value.astype(np.int64) for name, value in x.items()})
    scales = {x.layer.name: x.scale_N for x in quantised.layers if x.layer.cell.emits == "value"}
    for name, values in expected.items():
        got = recording.aligned(name).reshape(values.shape)
        np.testing.assert_array_equal(np.rint(got * scales.get(name, 1)), values)
        assert np.any(values)
    assert recording.unit_roundoff is None


def test_graded_inputs_travel_as_integers() -> None:
    net = mlp()
    x = {"x": np.random.default_rng(0).normal(size=(10, 2, 20))}
    quantised = quantise(net, x)
    recording = fixed_backend.lower(net, x).run(x)
    sent = {"x": np.rint(x["x"] * quantised.input_scales["x"]).astype(np.int64)}
    for name, values in simulate(quantised, sent).items():
        np.testing.assert_array_equal(recording.aligned(name), values)
    with pytest.raises(UsageError, match="not whole numbers"):
        fixed_backend.lower(net).run(x)
    with pytest.raises(UsageError, match="chosen for at most"):
        fixed_backend.lower(net, x).run({"x": x["x"] * 10})


def test_a_sum_that_wraps_is_refused() -> None:
    net = mlp()
    silent = {"x": np.zeros((4, 1, 20))}
    silent["x"][0, 0, 0] = 1
    program = fixed_backend.lower(net, silent)
    louder = replace(program.plan, hops=[replace(hop, weight_exp=12) for hop in program.plan.hops])
    with pytest.raises(UnfaithfulError, match="left the 24 bits"):
        replace(program, plan=louder).run({"x": np.ones((4, 1, 20))})


def test_no_late_spike_of_a_sample_reaches_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LavaProgram, "copies", lambda self, samples: 1)
    net = delayed()
    x = inputs(net)
    program = float_backend.lower(net)
    assert program.stage.gap == 2
    assert audit(net, x, program.run(x)).exact
    close = replace(program, stage=replace(program.stage, gap=0))
    assert audit(net, x, close.run(x)).mismatches > 0


def test_a_saved_program_says_what_it_is(tmp_path: Path) -> None:
    backends.get("lava-fixed").lower(mlp()).save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"plan.json", "arrays.npz", "quantisation.json", "worker"}
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert arrays["data-hop0"].dtype == np.int32
    reports = json.loads((tmp_path / "quantisation.json").read_text("utf-8"))
    assert set(reports) == {"h", "y"}
    assert all(report["weight_error"] <= 1 / (2 * report["weight_levels"] - 1) for report in reports.values())
