"""How long an inference takes: once more and again while that is cheap, so that the figure has a spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

from spikeport.benchmarks import blocks

MOST = 5
ENOUGH_S = 3.0
"""Whatever takes longer is run once, starting and compiling included: its spread is null."""

Result = TypeVar("Result")


def timed(run: Callable[[], Result], samples: int) -> tuple[Result, blocks.Timing]:
    """Return what the first of several runs over `samples` samples gives, and how long they took."""
    result, took_s = _once(run)
    seconds = [took_s]
    while len(seconds) < MOST and sum(seconds) < ENOUGH_S:
        seconds.append(_once(run)[1])
    return result, timing(seconds, samples, samples)


def timing(seconds: list[float], samples: int, batch: int) -> blocks.Timing:
    """Return the block of runs that took so long, each over all samples in batches."""
    ms = sorted(1e3 * took / samples for took in seconds)
    middle = statistics.median(ms)
    spread = (ms[0], ms[-1]) if len(ms) > 1 else None
    return blocks.Timing(ms_per_sample=middle, samples_per_s=1e3 / middle, batch=batch, repeats=len(ms), spread=spread)


def _once(run: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start
