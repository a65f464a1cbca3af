"""Converters of differences, quotients and reshapes: `a - b`, `-x`, `x / 2`, `x.view(x.size(0), -1)`."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Signal
from spikeport.export.convert.functions import Call, add, add_constant, handles, multiply
from spikeport.export.convert.layers import add_flatten


@handles(operator.neg, torch.neg, "neg")
def negate(call: Call) -> Signal:
    """`-x` is a Scale of -1."""
    return call.builder.add(call.name, nir.Scale(scale=np.full(call.signal.shape, -1.0)), call.signal)


@handles(operator.sub, operator.isub, torch.sub, "sub", "sub_")
def subtract(call: Call) -> Signal:
    """`a - b` is a plus b through a Scale of -1; `1 - b` is one node."""
    a, b = call.args[:2]
    factor = call.kwargs.get("alpha", 1)
    if not isinstance(b, Signal):
        return add_constant(call, a, -factor * b if isinstance(b, int | float | Tensor) else b)
    if not isinstance(a, Signal):
        return add_constant(call, b, a, gain=-float(factor))
    if a.shape != b.shape:
        return add(call)
    minus = call.builder.add(call.name, nir.Scale(scale=np.full(b.shape, -float(factor))), b)
    return add(Call(call.builder, call.name, (a, minus), {}, call.shape))


@handles(torch.rsub)
def subtract_from(call: Call) -> Signal:
    """`torch.rsub(a, b)` is `b - a`."""
    a, b = call.args[:2]
    if call.kwargs:
        raise UnfaithfulError(f"'{call.name}'", "torch.rsub with alpha is not handled", "Write the difference")
    return subtract(Call(call.builder, call.name, (b, a), call.kwargs, call.shape))


@handles(operator.truediv, operator.itruediv, torch.div, "div", "div_")
def divide(call: Call) -> Signal:
    """`x / c` is a Scale of 1/c, within one rounding."""
    a, b = call.args[:2]
    if not isinstance(a, Signal) or isinstance(b, Signal) or call.kwargs:
        raise UnfaithfulError(
            f"'{call.name}'", "it divides by a signal, or rounds, which no NIR node does", "Move it to a host stage"
        )
    inverse = 1 / b.detach().cpu().double() if isinstance(b, Tensor) else _inverse(call.name, b)
    return multiply(Call(call.builder, call.name, (a, inverse), {}, call.shape))


def _inverse(name: str, value: Any) -> float:
    if value == 0:
        raise UnfaithfulError(f"'{name}'", "it divides by 0", "Mend the model")
    return 1 / float(value)


@handles("view", "reshape", torch.reshape)
def reshape(call: Call) -> Signal:
    """A reshape that flattens the sample is a Flatten, one that changes nothing a wire; NIR has no other."""
    signal, wanted = call.signal, call.shape
    if wanted == signal.shape:
        return signal
    if wanted == (prod(signal.shape),):
        return add_flatten(call.builder, call.name, signal, 1, -1, wanted)
    raise UnfaithfulError(
        f"'{call.name}'",
        f"it reshapes {signal.shape} to {wanted}, and NIR only flattens",
        "Keep the shape between layers, or flatten to one dimension",
    )


class BatchSize:
    """`x.size(0)`, which only ever goes into a reshape."""


@handles("size", getattr)
def size(call: Call) -> Any:
    """`x.size(0)`, `x.size()` and `x.shape`: the batch and the sample's sizes, for a reshape to use."""
    sizes = (BatchSize(), *call.signal.shape)
    if call.args[1:] == ("shape",) or len(call.args) == 1:
        return sizes
    if isinstance(call.args[1], int):
        return sizes[call.args[1]]
    raise UnfaithfulError(f"'{call.name}'", f"it reads the attribute {call.args[1]!r}", "Use plain layers and calls")
