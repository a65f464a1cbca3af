"""Knows which tensors are weights, and what they were made of."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from spikeport.benchmarks.counting.torch_counter.neurons import STATE

COPIES = frozenset({"_to_copy", "clone", "repeat"})
"""Operations that store the elements of one tensor again."""


class Origin(NamedTuple):
    """What a constant memory was made of.

    Attributes:
        names: of the parameters and buffers.
        made: the same for what the same operations made of the same constants.
        copied: the constant that this memory merely stores again, `None` where it holds values of its own.
    """

    names: tuple[str, ...]
    made: int
    copied: Tensor | None


class Constants:
    """Knows the tensors that do not depend on the input: parameters, buffers, their views, and what is made of them.

    A buffer that something is written into in place is none any more; neuron state never is one. What is made of
    constants is known by its memory, so that views of it need not be seen.
    """

    def __init__(self, model: nn.Module) -> None:
        state = {id(t) for m in model.modules() if type(m) in STATE for t in m.buffers(recurse=False)}
        named = [*model.named_parameters(), *((n, b) for n, b in model.named_buffers() if id(b) not in state)]
        # Held, since the address of a buffer that the model replaces would be another tensor's soon.
        self._held = {name: t.detach() for name, t in named}
        self._named = {_pointer(t): Origin((name,), hash(name), None) for name, t in reversed(named) if t.numel()}
        self._derived: WeakKeyDictionary[torch.UntypedStorage, Origin] = WeakKeyDictionary()

    def __contains__(self, tensor: Tensor) -> bool:
        return self.origin(tensor) is not None

    def origin(self, tensor: Tensor) -> Origin | None:
        """Return what the memory of `tensor` was made of, `None` where that is not constant."""
        return self._named.get(_pointer(tensor)) or self._derived.get(tensor.untyped_storage())

    def name(self, tensor: Tensor) -> str | None:
        """Return the name of the one parameter behind `tensor`, without `.weight`; `None` where there are more."""
        origin = self.origin(tensor)
        names = set() if origin is None else set(map(_plain, origin.names))
        return names.pop() if len(names) == 1 else None

    def sources(self, tensor: Tensor) -> list[Tensor]:
        """Return the parameters and buffers that `tensor` was made of; itself where it is no constant."""
        origin = self.origin(tensor)
        return [tensor] if origin is None else [self._held[name] for name in origin.names]

    def view(self, tensor: Tensor) -> Hashable:
        """Return what is the same for the same elements of what was made the same way."""
        origin = self.origin(tensor)
        made = None if origin is None else origin.made
        return made, tensor.storage_offset(), tensor.shape, tensor.stride()

    def stored(self, weight: Tensor) -> tuple[tuple[str, ...], Tensor]:
        """Return the names behind `weight`, and its elements as they are stored: not expanded, nor the copy of all."""
        origin, once = self.origin(weight), _once(weight)
        if origin is None:
            return (), once
        whole = origin.copied is not None and once.numel() >= origin.copied.numel()
        return origin.names, origin.copied if whole and origin.copied is not None else once

    def derive(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], made: Sequence[Tensor]) -> None:
        """Say that the operation `name` made, or filled, the memory of `made` with constants alone."""
        given = tensors(args, kwargs)
        parents = [origin for t in given if (origin := self.origin(t)) is not None]
        names = tuple(dict.fromkeys(n for parent in parents for n in parent.names))
        copied = self.stored(given[0])[1] if name in COPIES else None
        settings = hash((name, self._settings(args), self._settings(tuple(kwargs.items()))))
        for index, tensor in enumerate(made):
            self._derived[tensor.untyped_storage()] = Origin(names, hash((settings, index)), copied)

    def _settings(self, value: Any) -> Hashable:
        if isinstance(value, Tensor):
            # a number that has just become a tensor is no constant yet
            return self.view(value) if value in self or value.ndim else value.item()
        if isinstance(value, list | tuple):
            return tuple(map(self._settings, value))
        return repr(value)

    def forget(self, tensor: Tensor) -> None:
        """Say that something else was written into the memory of `tensor`."""
        self._named.pop(_pointer(tensor), None)
        self._derived.pop(tensor.untyped_storage(), None)


def tensors(values: Sequence[Any], named: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors among the arguments, or in lists and tuples of them, at any depth."""
    found: list[Tensor] = []
    for value in (*values, *named.values()):
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += tensors(value, {})
    return found


@cache
def _plain(name: str) -> str:
    """Return a parameter's name without `.weight`, and without what a parametrization made of it."""
    return re.sub(r"parametrizations\.(\w+)\.original\d*$", r"\1", name).removesuffix(".weight")


def _once(tensor: Tensor) -> Tensor:
    """Return `tensor` without the axes along which it only repeats itself."""
    for axis in reversed(range(tensor.ndim)):
        if tensor.stride(axis) == 0 and tensor.shape[axis]:
            tensor = tensor.select(axis, 0)
    return tensor


def _pointer(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
