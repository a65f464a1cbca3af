"""spikeport: spiking networks out of snnTorch and onto neuromorphic backends, provably the same network.

`spikeport.export(net, sample, dt_s)`, `spikeport.deploy(bundle, backend)` and `spikeport.benchmark(run)` do in Python
what the command line does.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import spikeport` alone stays light."""
    if name in ("export", "deploy"):
        return importlib.import_module(f"spikeport.{name}")
    if name == "benchmark":
        return importlib.import_module("spikeport.benchmarks.runner").benchmark
    raise AttributeError(f"module 'spikeport' has no attribute '{name}'")
