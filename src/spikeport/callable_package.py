"""Packages that can be called: `spikeport.export(net, sample, dt_s)` beside `spikeport.export.graph`."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


def make_callable(package: str, target: str) -> None:
    """Let calling the imported `package` call `target`, a `"module:function"` that is imported on first use."""
    module, _, function = target.partition(":")

    class CallablePackage(types.ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return getattr(importlib.import_module(module), function)(*args, **kwargs)

    sys.modules[package].__class__ = CallablePackage
