"""Joules per sample: work in windows of seconds, idle windows between, repeats.

For each repeat the device first idles, loaded and ready, for a window; then it works for one. Dynamic energy is that of
the working window less the idle power times its length. The windows start at random phases, since counters are
refreshed at intervals. The protocol is that of NeuroBench's system track: idle means loaded, not asleep.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

from spikeport.benchmarks.blocks import Measured
from spikeport.benchmarks.measured.counter import Counter
from spikeport.errors import UnavailableError, UsageError

PHASE_S = 0.2
"""Windows start up to so much later: twice the slowest refresh of NVML's counter."""
SETTLE_S = 0.1
"""So much work is queued before the device is waited for."""


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        window_s: length of a working window, and of an idle one.
        repeats: pairs of windows; at least 2, for a standard error.
        warm_up_s: work before the first window.
    """

    window_s: float = 5.0
    repeats: int = 5
    warm_up_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.window_s >= 1:
            reason = "counters are refreshed every 20 to 100 ms, so shorter windows measure their refresh"
            raise UsageError(f"windows of {self.window_s} s", reason, "Use windows of at least 1 s")
        if self.repeats < 2:
            raise UsageError(f"{self.repeats} repeats", "a standard error needs two", "Repeat at least twice")


@dataclass(frozen=True)
class Work:
    """What is measured.

    Attributes:
        run: computes one batch; may return before the device is done.
        settle: waits until it is.
        batch: samples in one batch.
    """

    run: Callable[[], object]
    settle: Callable[[], object]
    batch: int


class Clock:
    """The machine's time."""

    def now(self) -> float:
        """Return seconds."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def measure(work: Work, counter: Counter, plan: Plan, clock: Clock | None = None) -> Measured:
    """Return joules per sample of `work`.

    Raises:
        UnavailableError: the counter fails, falls, or does not move.
    """
    clock = clock or Clock()
    phase = random.Random(0)
    chunk = _warm_up(work, plan, clock)
    before = counter.conditions()
    total, dynamic, idle = [], [], []
    for _ in range(plan.repeats):
        clock.sleep(phase.uniform(0, PHASE_S))
        idle_j, idle_s, _ = _window(counter, clock, lambda: _rest(plan, clock))
        active_j, active_s, runs = _window(counter, clock, lambda: _busy(work, plan, clock, chunk))
        samples = runs * work.batch
        idle.append(idle_j / idle_s)
        total.append(active_j / samples)
        dynamic.append((active_j - idle[-1] * active_s) / samples)
    conditions = {f"{name}_before": value for name, value in before.items()}
    conditions |= {f"{name}_after": value for name, value in counter.conditions().items()}
    return Measured(
        joules_total=mean(total),
        joules_dynamic=mean(dynamic),
        standard_error=stdev(dynamic) / sqrt(plan.repeats),
        device=counter.device,
        method=f"{counter.method}; windows of {plan.window_s:g} s, idle subtracted",
        batch=work.batch,
        repeats=plan.repeats,
        idle_watts=mean(idle),
        note=counter.note,
        conditions=conditions,
    )


def _warm_up(work: Work, plan: Plan, clock: Clock) -> int:
    """Work for a while; return how many batches to queue between two waits."""
    start, runs = clock.now(), 0
    while clock.now() - start < plan.warm_up_s or runs == 0:
        work.run()
        work.settle()
        runs += 1
    return max(1, int(SETTLE_S * runs / (clock.now() - start)))


def _rest(plan: Plan, clock: Clock) -> int:
    clock.sleep(plan.window_s)
    return 0


def _busy(work: Work, plan: Plan, clock: Clock, chunk: int) -> int:
    start, runs = clock.now(), 0
    while clock.now() - start < plan.window_s:
        for _ in range(chunk):
            work.run()
        work.settle()
        runs += chunk
    return runs


def _window(counter: Counter, clock: Clock, body: Callable[[], int]) -> tuple[float, float, int]:
    """Return the joules and seconds of `body`, and how many batches it ran."""
    start_j, start_s = counter.joules(), clock.now()
    runs = body()
    joules, seconds = counter.joules() - start_j, clock.now() - start_s
    if joules <= 0:
        reason = f"its counter ({counter.method}) did not move in {seconds:.1f} s"
        raise UnavailableError(counter.device, reason, "It counts nothing here: measure on another machine")
    return joules, seconds, runs
