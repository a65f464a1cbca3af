"""Functional calls: a dispatch mode that sees every operation outside the modules that have hooks of their own.

A matrix product or convolution with a constant is a weighted layer; one of two activations is counted by its
coincidences; moving data is free; anything else is listed by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from spikeport.benchmarks.counting.torch_counter.ledger import Ledger
from spikeport.benchmarks.counting.torch_counter.marks import mark, mark_of
from spikeport.benchmarks.counting.torch_counter.rules import RULES

MOVES = frozenset({
    "_local_scalar_dense", "_reshape_alias", "_to_copy", "_unsafe_view", "alias", "arange", "as_strided", "cat",
    "clone", "constant_pad_nd", "contiguous", "copy", "copy_", "detach", "empty", "empty_like", "empty_strided",
    "expand", "eye", "fill", "fill_", "flatten", "flip", "full", "full_like", "gather", "index", "index_select",
    "is_same_size", "lift_fresh", "linspace", "movedim", "new_empty", "new_empty_strided", "new_full", "new_ones",
    "new_zeros", "ones", "ones_like", "permute", "repeat", "reshape", "resize_", "roll", "scalar_tensor", "select",
    "select_scatter", "slice", "slice_scatter", "split", "split_with_sizes", "squeeze", "stack", "t", "transpose",
    "tril", "triu", "unbind", "unflatten", "unfold", "unsqueeze", "view", "zero_", "zeros", "zeros_like",
})  # fmt: skip
"""Operations that create, move or copy elements and do no arithmetic."""

KEEPS_BINARY = frozenset({
    "_reshape_alias", "_unsafe_view", "alias", "cat", "clone", "contiguous", "detach", "expand", "flip",
    "index_select", "permute", "repeat", "roll", "select", "slice", "split", "split_with_sizes", "squeeze", "stack",
    "t", "transpose", "unbind", "unfold", "unsqueeze", "view",
})  # fmt: skip
"""Operations whose results hold nothing but elements of their tensors."""


class Functional(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts into `ledger`; `where` names the module that is running."""

    def __init__(self, ledger: Ledger, where: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ledger = ledger
        self.where = where

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func` and count it."""
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        rule = RULES.get(name) if func.namespace == "aten" else None
        if rule is None and name not in MOVES and _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        given, made = list(_tensors((args, kwargs))), list(_tensors(out))
        if any(t.layout is not torch.strided for t in (*given, *made)):
            self.ledger.leave_out(f"{self.where()}:{name}", "an operation on tensors that are not strided has no rule")
            return out
        constants = self.ledger.constants
        known = [t in constants for t in given]
        if given and all(known):
            self._of_constants(name, made, rule is not None)
            return out
        if func._schema.is_mutable and known and known[0]:
            constants.forget(given[0])
        if rule is not None:
            rule(self.ledger, f"{self.where()}:{name}", out, *args, **kwargs)
        elif name not in MOVES and given:
            reason = "no rule counts this operation; its arithmetic is in no figure"
            self.ledger.leave_out(f"{self.where()}:{name}", reason)
        if name in KEEPS_BINARY and given and all(mark_of(t) for t in given):
            for tensor in made:
                mark(tensor)
        return out

    def _of_constants(self, name: str, made: list[Tensor], product: bool) -> None:
        """Follow what is made of constants alone; a new state of the shape of a weight is none."""
        if product:
            self.ledger.leave_out(f"{self.where()}:{name}", "a product of constants, the same for every input")
        if not name.startswith("new_") and not name.endswith("_like"):
            for tensor in made:
                self.ledger.constants.derive(tensor)


@cache
def _is_composite(func: OpOverload) -> bool:
    """Return whether `func` is only a name for others, which inference mode does not take apart by itself."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return bool(func.has_kernel_for_dispatch_key(key))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
