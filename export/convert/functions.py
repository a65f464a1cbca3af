"""Converters of functional calls and tensor methods: `a + b`, `torch.flatten(x, 1)`, `F.dropout(x)`, `x * 2`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import nir
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Builder, Rewrite, Signal, without_batch
from spikeport.export.convert.constants import shifted_by
from spikeport.export.convert.layers import add_flatten, foldable, folded
from spikeport.export.shapes import Shape


@dataclass(frozen=True)
class Call:
    """One traced functional call with its arguments resolved: signals, numbers, tuples."""

    builder: Builder
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: Shape

    @property
    def signal(self) -> Signal:
        """The first argument."""
        found: Signal = self.argument(0, "input")
        return found

    def argument(self, index: int, name: str, default: Any = None) -> Any:
        """Return a positional or keyword argument."""
        return self.args[index] if index < len(self.args) else self.kwargs.get(name, default)


Function = Callable[[Call], Any]
T = TypeVar("T", bound=Function)
functions: dict[Any, Function] = {}


def handles(*targets: Any) -> Callable[[T], T]:
    """Register the converter of functions (or, as strings, tensor methods)."""

    def register(function: T) -> T:
        for target in targets:
            if target in functions:
                raise ValueError(f"{target} has two converters")
            functions[target] = function
        return function

    return register


@handles(operator.add, operator.iadd, torch.add, "add", "add_")
def add(call: Call) -> Signal:
    """A sum is two edges into one node; the shapes must be equal, since NIR does not broadcast."""
    a, b = call.args[:2]
    factor = call.kwargs.get("alpha", 1)
    if factor != 1:
        b = multiply(replace(call, args=(b, factor), kwargs={})) if isinstance(b, Signal) else factor * b
    if not isinstance(a, Signal) or not isinstance(b, Signal):
        signal, constant = (a, b) if isinstance(a, Signal) else (b, a)
        return add_constant(call, signal, constant)
    if a.shape != b.shape:
        raise UnfaithfulError(
            f"'{call.name}'", f"it adds shapes {a.shape} and {b.shape} by broadcasting", "Bring them to one shape first"
        )
    return a + b


def add_constant(call: Call, signal: Signal, constant: Any, gain: float = 1.0) -> Signal:
    """`gain x + constant`."""
    if isinstance(constant, Tensor):
        value = constant.detach().cpu().double().numpy()
    elif isinstance(constant, int | float):
        value = np.array(float(constant))
    else:
        kind = type(constant).__name__
        raise UnfaithfulError(f"'{call.name}'", f"it adds a {kind} to a signal", "Add numbers, tensors or signals")
    if not np.any(value) and gain == 1:
        return signal
    if not np.isfinite(value).all():
        raise UnfaithfulError(f"'{call.name}'", "it adds a constant that is NaN or infinite", "Use finite constants")
    return shifted_by(call.builder, call.name, signal, value, gain)


@handles(operator.mul, operator.imul, torch.mul, "mul", "mul_")
def multiply(call: Call) -> Signal:
    """A product with a constant is a Scale; one with a number goes into the weights of the layer before it."""
    a, b = call.args[:2]
    signal, factor = (a, b) if isinstance(a, Signal) else (b, a)
    if isinstance(factor, Signal) or not isinstance(factor, int | float | Tensor):
        raise UnfaithfulError(
            f"'{call.name}'", "it multiplies two signals, which no NIR node does", "Move the product to a host stage"
        )
    source = signal.sources[0]
    if isinstance(factor, int | float) and len(signal.sources) == 1 and foldable(call.builder, source, signal.shape):
        gain = np.full(signal.shape[0], float(factor))
        call.builder.nodes[source] = folded(call.builder.nodes[source], gain, np.zeros_like(gain))
        call.builder.rewrites.append(Rewrite(call.name, f"a factor of {factor} folded into '{source}'"))
        return signal
    value = factor.detach().cpu().double().numpy() if isinstance(factor, Tensor) else float(factor)
    value = without_batch(value, signal.shape)
    try:
        scale = np.array(np.broadcast_to(value, signal.shape), dtype=np.float64)
    except ValueError:
        raise UnfaithfulError(
            f"'{call.name}'", f"a factor of shape {np.shape(value)} does not fit {signal.shape}", "Drop its batch axis"
        ) from None
    return call.builder.add(call.name, nir.Scale(scale=scale), signal)


@handles(torch.flatten, "flatten")
def flatten(call: Call) -> Signal:
    """`torch.flatten` and `x.flatten`."""
    start, end = call.argument(1, "start_dim", 0), call.argument(2, "end_dim", -1)
    return add_flatten(call.builder, call.name, call.signal, start, end, call.shape)


@handles(F.dropout, torch.dropout)
def dropout(call: Call) -> Signal:
    """Dropout does nothing in evaluation, unless it is told that it trains."""
    if call.kwargs.get("training", call.args[2] if len(call.args) > 2 else True):
        raise UnfaithfulError(
            f"'{call.name}'", "F.dropout is on in evaluation too", "Use nn.Dropout, or training=self.training"
        )
    call.builder.rewrites.append(Rewrite(call.name, "dropout does nothing in evaluation: removed"))
    return call.signal


def target_name(node: fx.Node) -> str:
    """Return a readable name of what a traced call calls."""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
