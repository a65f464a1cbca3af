"""Suite `training`: small batches, the peer faked; and once whole, with the peer itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spikeport.benchmarks.suites import suites, training
from spikeport.benchmarks.suites.result import SuiteResult
from spikeport.benchmarks.suites.training_cases import CASES, Case, Work, work
from spikeport.benchmarks.suites.training_described import describe
from spikeport.benchmarks.suites.training_equal import Computed, computed
from spikeport.benchmarks.suites.training_peer.steps import interleaved
from spikeport.cli import main
from spikeport.errors import UnavailableError

BY_NAME = {case.name: case for case in CASES}
HAVE_A_COUNTERPART = ("av-digits", "l2 visual net")


@pytest.fixture(autouse=True)
def one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ROUNDS", 1)


def small(name: str) -> Work:
    return work(BY_NAME[name], steps=8, batch=2)


def answers(monkeypatch: pytest.MonkeyPatch, name: str, factor: float = 1.0) -> None:
    """Stand in for the peer on `small(name)`: four times the loop's time, our own values, gradients times `factor`."""
    given = small(name)
    one = computed(given, folded=True)

    def run(self: object, script: Path, folder: Path) -> None:
        request = json.loads((folder / "request.json").read_text())
        assert request["network"] == json.loads(json.dumps(describe(given.net, given.slope)))
        core, readout = given.net.segments
        arrays = {"spikes": one.tensors[core.outputs[0]], "logits": one.tensors[readout.outputs[0]]}
        grads = {f"g.{key}": factor * value for key, value in one.gradients.items()}
        np.savez(folder / "answer.npz", **{key: value.numpy() for key, value in (arrays | grads).items()})
        times = {"loop": [1.0], "peer": [4.0]}
        (folder / "answer.json").write_text(json.dumps({"step": times, "forward": times}))

    monkeypatch.setattr(training.PeerEnvironment, "run", run)


@pytest.mark.parametrize("name", BY_NAME)
def test_both_ways_compute_the_same_and_every_parameter_learns(name: str) -> None:
    # two samples leave a temporal gate of the chip form silent
    one = work(BY_NAME[name], steps=8, batch=16 if name == "s-cmrl-chip" else 2)
    folded = computed(one, folded=True)
    assert folded.same(computed(one, folded=False))
    learning = {name_ for name_, value in one.net.named_parameters() if value.requires_grad}
    assert folded.gradients.keys() == learning
    for name_, gradient in folded.gradients.items():
        assert float(gradient.abs().max()) > 0, name_


def test_one_spike_or_one_gradient_more_is_not_the_same() -> None:
    one = computed(small("av-digits"), folded=True)
    spikes = one.tensors["spikes"].clone()
    spikes[0, 0, 0] = 1 - spikes[0, 0, 0]
    assert not one.same(replace(one, tensors={**one.tensors, "spikes": spikes}))
    name = next(iter(one.gradients))
    changed = one.gradients[name].clone()
    changed.view(-1)[0] += 1e-4 * changed.abs().max()
    assert not one.same(replace(one, gradients={**one.gradients, name: changed}))
    assert not one.same(Computed(one.tensors, {}))


@pytest.mark.parametrize("name", HAVE_A_COUNTERPART)
def test_a_case_has_a_row_for_each_peer(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answers(monkeypatch, name)
    loop, peer = training.rows_of(name, small(name))
    assert (loop.peer, loop.unit, loop.equal) == ("snnTorch loop", "ms a step", True)
    assert loop.ratio == pytest.approx((loop.theirs or 0) / loop.ours)
    assert (peer.theirs, peer.unit, peer.equal) == (4.0, "x plain loop", True)
    assert peer.ratio == pytest.approx(4 / peer.ours)


def test_another_gradient_of_the_peer_fails_the_suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training, "CASES", (Case("av-digits", "av-digits", steps=(8,)),))
    monkeypatch.setattr(training, "work", lambda case, steps: small("av-digits"))
    out = tmp_path / "suite.json"
    for factor, code in ((1.0, 0), (1.001, 1)):
        answers(monkeypatch, "av-digits", factor)
        assert main(["bench", "--suite", "training", "--json", str(out)]) == code
    assert [row.equal for row in SuiteResult.model_validate_json(out.read_text()).rows] == [True, False]


@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in HAVE_A_COUNTERPART])
def test_a_network_without_a_counterpart_is_null_with_the_reason(name: str) -> None:
    one = small(name)
    with pytest.raises(UnavailableError, match="SpikingJelly's counterpart"):
        describe(one.net, one.slope)
    row = training.rows_of(name, one)[1]
    assert (row.theirs, row.ratio, row.equal) == (None, None, None)
    assert "counterpart" in (row.reason or "")


def test_timing_with_batch_statistics_leaves_the_fixed_ones() -> None:
    one = small("l2 visual net")
    before = {name: value.clone() for name, value in one.net.state_dict().items() if "running" in name}
    assert before
    training._with_batch_statistics(one)
    assert not one.net.training
    for name, value in before.items():
        assert torch.equal(one.net.state_dict()[name], value)


def test_every_round_runs_every_way_in_turning_order() -> None:
    seen: list[str] = []
    found = interleaved({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 3)
    assert "".join(seen) == "ab" + "ab" + "ba" + "ab"
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}


@pytest.mark.slow
def test_the_whole_suite_computes_the_same_on_both_sides() -> None:
    rows = suites.get("training")().rows
    assert len(rows) == 2 * sum(len(case.steps) for case in CASES)
    for row in rows:
        measured = row.peer == training.LOOP or row.case.startswith(HAVE_A_COUNTERPART)
        assert row.equal is (True if measured else None), row
