"""Suites: the project's own side-by-side measurements. Each times ours and a peer on the same work in one run.

`spikeport bench --suite NAME` runs one; a row whose two sides did not compute the same says so and fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spikeport.registry import Registry

if TYPE_CHECKING:
    from spikeport.benchmarks.suites.result import SuiteResult

suites: Registry[Callable[[], SuiteResult]] = Registry("suite")
suites.register("loihi-engine", "spikeport.benchmarks.suites.loihi_engine:run")
suites.register("counting", "spikeport.benchmarks.suites.counting:run")
suites.register("training", "spikeport.benchmarks.suites.training:run")
