"""Converters of what takes parts of a signal, or puts zeros around it: `x[:, 2:5]`, `x.chunk(2, 1)`, `F.pad`.

Each is a matrix of zeros and ones along an axis. An axis that is indexed by a number goes by a Flatten.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import nir
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.axes import map_axes, selection
from spikeport.export.convert.builder import Builder, Signal
from spikeport.export.convert.constants import shifted_by
from spikeport.export.convert.functions import Call, handles
from spikeport.export.convert.layers import converts
from spikeport.export.shapes import Shape

Places = NDArray[np.integer]


@handles(operator.getitem)
def item(call: Call) -> Any:
    """`spk, mem = neuron(x)`, `x.shape[1]`, `x.chunk(2, 1)[0]`, and `x[:, 2:5]`."""
    value, index = call.args
    if isinstance(value, Signal):
        return _indexed(call, value, index if isinstance(index, tuple) else (index,))
    if isinstance(value, tuple) and isinstance(index, int | slice):
        return value[index]
    raise UnfaithfulError(f"'{call.name}'", "it indexes what is no signal", "Index by constants what inputs give")


def _indexed(call: Call, signal: Signal, index: tuple[Any, ...]) -> Signal:
    rank = len(signal.shape) + 1
    if any(part is None for part in index):
        raise UnfaithfulError(f"'{call.name}'", "it adds an axis, which no NIR node does", "Keep the axes as they are")
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = (*index[:at], *[slice(None)] * (rank + 1 - len(index)), *index[at + 1 :])
    index = (*index, *[slice(None)] * (rank - len(index)))
    _require_whole_batch(call, index[0])
    lists = [part for part in index[1:] if not isinstance(part, int | slice)]
    # torch pairs the elements of two lists, and moves their axis to the front where a number stands between.
    if len(lists) > 1 or (lists and any(isinstance(part, int) for part in index[1:])):
        raise UnfaithfulError(f"'{call.name}'", "it indexes by lists together", "Index one axis after the other")
    places = [_places(call, part, size) for part, size in zip(index[1:], signal.shape, strict=True)]
    changed = {a: p for a, p in enumerate(places) if not np.array_equal(p, np.arange(signal.shape[a]))}
    dropped = [axis for axis, part in enumerate(index[1:]) if isinstance(part, int)]
    return _taken(call, signal, changed, dropped)


def _require_whole_batch(call: Call, part: Any) -> None:
    if part != slice(None) and part != slice(0, None):
        raise UnfaithfulError(
            f"'{call.name}'",
            "it takes a part of the batch",
            "Export one time step, whose first axis is the batch: index the axes behind it, as x[:, i]",
        )


def _places(call: Call, part: Any, size: int) -> Places:
    try:
        index = np.asarray(part) if isinstance(part, Tensor | list) else part
        found: Places = np.atleast_1d(np.arange(size)[index])
    except (IndexError, TypeError):
        raise UnfaithfulError(
            f"'{call.name}'", "it indexes a signal by what is no number, slice or list", "Index by constants"
        ) from None
    if not len(found):
        raise UnfaithfulError(
            f"'{call.name}'", "it takes an empty slice", "Choose bounds that keep at least one element"
        )
    return found


def _taken(call: Call, signal: Signal, places: Mapping[int, Places], dropped: Sequence[int] = ()) -> Signal:
    """Return the elements at the given places of each axis, without the axes of one element in `dropped`."""
    matrices = {axis: selection(call.name, found, signal.shape[axis]) for axis, found in places.items()}
    taken = map_axes(call.builder, call.name, signal, matrices)
    for axis in sorted(dropped, reverse=True):
        taken = _without_axis(call, taken, axis)
    return taken


def _without_axis(call: Call, signal: Signal, axis: int) -> Signal:
    """Merge an axis of one element into its neighbour."""
    if len(signal.shape) == 1:
        raise UnfaithfulError(f"'{call.name}'", "one number a sample is left", "Take a slice of 1, as x[:, i:i + 1]")
    start = max(axis - 1, 0)
    node = nir.Flatten(input_type={"input": np.array(signal.shape)}, start_dim=start, end_dim=start + 1)
    shape = tuple(n for a, n in enumerate(signal.shape) if a != axis)
    return call.builder.add(call.builder.name(f"{call.name}_axis"), node, signal, shape)


def _axis(call: Call, dim: Any) -> int:
    """Return torch's dimension without the batch."""
    rank = len(call.signal.shape) + 1
    if not isinstance(dim, int) or dim % rank == 0:
        raise UnfaithfulError(f"'{call.name}'", "it takes a part of the batch", "Use dim=1 or above")
    return dim % rank - 1


@handles(torch.narrow, "narrow")
def narrow(call: Call) -> Signal:
    """`x.narrow(dim, start, length)`."""
    axis = _axis(call, call.argument(1, "dim"))
    start, length = call.argument(2, "start"), call.argument(3, "length")
    start %= call.signal.shape[axis]
    return _taken(call, call.signal, {axis: np.arange(start, start + length)})


@handles(torch.select, "select")
def select(call: Call) -> Signal:
    """`x.select(dim, index)`, which is `x[:, index]`."""
    axis = _axis(call, call.argument(1, "dim"))
    index = call.argument(2, "index")
    return _taken(call, call.signal, {axis: np.arange(call.signal.shape[axis])[[index]]}, [axis])


@handles(torch.chunk, "chunk")
def chunk(call: Call) -> tuple[Signal, ...]:
    """`x.chunk(n, dim)`: at most n parts of ceil(size / n)."""
    axis = _axis(call, call.argument(2, "dim", 0))
    size, parts = call.signal.shape[axis], call.argument(1, "chunks")
    return _parts(call, axis, -(-size // parts))


@handles(torch.split, "split")
def split(call: Call) -> tuple[Signal, ...]:
    """`x.split(size, dim)`, or a list of sizes."""
    axis = _axis(call, call.argument(2, "dim", 0))
    sizes = call.kwargs.get("split_size", call.argument(1, "split_size_or_sections"))
    return _parts(call, axis, sizes)


@handles(torch.unbind, "unbind")
def unbind(call: Call) -> tuple[Signal, ...]:
    """`x.unbind(dim)`: every element of an axis, without it."""
    axis = _axis(call, call.argument(1, "dim", 0))
    return tuple(_taken(call, call.signal, {axis: np.array([i])}, [axis]) for i in range(call.signal.shape[axis]))


def _parts(call: Call, axis: int, sizes: int | Sequence[int]) -> tuple[Signal, ...]:
    whole = call.signal.shape[axis]
    ends = [*range(sizes, whole, sizes)] if isinstance(sizes, int) else np.cumsum(sizes)[:-1]
    return tuple(_taken(call, call.signal, {axis: part}) for part in np.split(np.arange(whole), ends))


@handles(F.pad)
def pad(call: Call) -> Signal:
    """`F.pad(x, (left, right, top, bottom))` with zeros or another constant."""
    mode, value = call.argument(2, "mode", "constant"), call.argument(3, "value")
    return _padded(call.builder, call.name, call.signal, call.argument(1, "pad"), mode, value)


@converts(nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d)
def constant_pad(builder: Builder, name: str, layer: nn.ConstantPad2d, signal: Signal, shape: Shape) -> Signal:
    """A constant around a signal."""
    return _padded(builder, name, signal, layer.padding, "constant", layer.value)


def _padded(builder: Builder, name: str, signal: Signal, pads: Sequence[int], mode: str, value: float | None) -> Signal:
    if mode != "constant":
        raise UnfaithfulError(f"'{name}'", f"padding with mode '{mode}' is not NIR's", "Pad with zeros")
    if len(pads) // 2 > len(signal.shape):
        raise UnfaithfulError(f"'{name}'", "it pads the batch", "Pad the axes behind it")
    matrices = {}
    for i, (before, after) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        axis = len(signal.shape) - 1 - i
        size = signal.shape[axis]
        matrices[axis] = np.eye(before + size + after, size, -before)
    if not value:
        return map_axes(builder, name, signal, matrices)
    # The constant around x is a constant on zeros around x - c.
    around = map_axes(builder, name, shifted_by(builder, name, signal, np.array(-value)), matrices)
    return shifted_by(builder, name, around, np.array(value))
