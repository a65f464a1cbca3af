"""Timing: the median of the repeats with the fastest and the slowest, by a clock that the test sets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from spikeport.benchmarks import blocks, timing


class Clock:
    def __init__(self, *seconds: float) -> None:
        self.took, self.now, self.runs = iter(seconds), 0.0, 0

    def run(self) -> int:
        self.now += next(self.took)
        self.runs += 1
        return self.runs


def measured(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> tuple[int, blocks.Timing, int]:
    clock = Clock(*seconds)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    result, block = timing.timed(clock.run, 10)
    return result, block, clock.runs


def test_a_quick_run_is_repeated_and_a_slow_first_one_is_no_outlier_of_the_figure(monkeypatch) -> None:
    result, block, runs = measured(monkeypatch, 0.5, 0.02, 0.01, 0.03, 0.02)
    assert (result, runs, block.repeats) == (1, 5, 5)
    assert block.ms_per_sample == pytest.approx(2.0)
    assert block.spread == pytest.approx((1.0, 50.0))
    assert block.samples_per_s == pytest.approx(500)
    assert block.batch == 10


def test_a_long_run_is_not_repeated_and_has_no_spread(monkeypatch) -> None:
    _, block, runs = measured(monkeypatch, 3.0)
    assert (runs, block.repeats, block.spread) == (1, 1, None)
    assert block.ms_per_sample == pytest.approx(300)
    _, block, runs = measured(monkeypatch, 1.6, 1.5)
    assert (runs, block.repeats) == (2, 2)
    assert block.ms_per_sample == pytest.approx(155)


@pytest.mark.parametrize("wrong", [{"spread": (3.0, 4.0)}, {"repeats": 1}, {"repeats": 0}, {"spread": (1.0, 1.5)}])
def test_a_spread_that_is_none_is_refused(wrong: dict) -> None:
    good = {"ms_per_sample": 2.0, "samples_per_s": 500.0, "batch": 1, "repeats": 2, "spread": (1.0, 3.0)}
    blocks.Timing(**good)
    with pytest.raises(ValidationError):
        blocks.Timing(**(good | wrong))
