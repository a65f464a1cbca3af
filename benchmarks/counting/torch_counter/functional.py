"""Functional calls: a dispatch mode that sees every operation outside the modules that have hooks of their own.

A matrix product or convolution with a constant is a weighted layer; one of two activations is counted by its
coincidences; moving data is free; anything else is listed by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from spikeport.benchmarks.counting.torch_counter.constants import tensors
from spikeport.benchmarks.counting.torch_counter.ledger import Ledger
from spikeport.benchmarks.counting.torch_counter.marks import mark, mark_of
from spikeport.benchmarks.counting.torch_counter.rules import RULES

MOVES = frozenset({
    "_local_scalar_dense", "_reshape_alias", "_to_copy", "_unsafe_view", "alias", "arange", "as_strided", "cat",
    "clone", "constant_pad_nd", "contiguous", "copy", "copy_", "detach", "empty", "empty_like", "empty_strided",
    "expand", "eye", "fill", "fill_", "flatten", "flip", "full", "full_like", "gather", "index", "index_select",
    "is_same_size", "lift_fresh", "linspace", "movedim", "new_empty", "new_empty_strided", "new_full", "new_ones",
    "new_zeros", "ones", "ones_like", "permute", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat",
    "replication_pad1d", "replication_pad2d", "replication_pad3d", "reshape", "resize_", "roll", "scalar_tensor",
    "select", "select_scatter", "slice", "slice_scatter", "split", "split_with_sizes", "squeeze", "stack", "t",
    "transpose", "tril", "triu", "unbind", "unflatten", "unfold", "unsqueeze", "view", "zero_", "zeros", "zeros_like",
})  # fmt: skip
"""Operations that create, move or copy elements and do no arithmetic."""

KEEPS_BINARY = frozenset({
    "_reshape_alias", "_unsafe_view", "alias", "cat", "clone", "contiguous", "detach", "expand", "flip",
    "index_select", "permute", "repeat", "roll", "select", "slice", "split", "split_with_sizes", "squeeze", "stack",
    "t", "transpose", "unbind", "unfold", "unsqueeze", "view",
})  # fmt: skip
"""Operations whose results hold nothing but elements of their tensors."""


_NO_BACKWARD = -1


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
        kwargs = kwargs or {}
        if torch._C._current_graph_task_id() != _NO_BACKWARD:
            self.ledger.leave_out("backward", "the backward pass, which is none of inference")
            return func(*args, **kwargs)
        op = _OPERATIONS.get(id(func)) or _operation(func)
        if op.composite:
            with self:
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        given = tensors(args, kwargs)
        made = [out] if isinstance(out, Tensor) else tensors((out,), {})
        if any(t.layout is not torch.strided for t in (*given, *made)):
            reason = "an operation on tensors that are not strided has no rule"
            self.ledger.leave_out(f"{self.where()}:{op.name}", reason)
            return out
        constants = self.ledger.constants
        known = [t in constants for t in given]
        if (given and all(known)) or _is_number(op, given, made):
            self._of_constants(op, args, kwargs, made)
            return out
        if op.mutable:
            for tensor in made or given[:1]:
                constants.forget(tensor)
        if op.rule is not None:
            op.rule(self.ledger, f"{self.where()}:{op.name}", out, *args, **kwargs)
        elif not op.moves and given:
            reason = "no rule counts this operation; its arithmetic is in no figure"
            self.ledger.leave_out(f"{self.where()}:{op.name}", reason)
        if op.keeps_binary and given and all(mark_of(t) for t in given):
            for tensor in made:
                mark(tensor)
        return out

    def _of_constants(self, op: _Operation, args: Sequence[Any], kwargs: Mapping[str, Any], made: list[Tensor]) -> None:
        """Follow what is made of constants alone; a new state of the shape of a weight is none."""
        if op.rule is not None:
            reason = "a product of constants, the same for every input"
            self.ledger.leave_out(f"{self.where()}:{op.name} of constants", reason)
        if op.name.startswith("new_") or op.name.endswith("_like"):
            return
        constants = self.ledger.constants
        # a view has been made of nothing new
        if fresh := [t for t in made if op.mutable or t not in constants]:
            constants.derive(op.name, args, kwargs, fresh)


class _Operation(NamedTuple):
    """What is known of one operation."""

    name: str
    rule: Callable[..., None] | None
    moves: bool
    keeps_binary: bool
    mutable: bool
    composite: bool


def _is_number(op: _Operation, given: list[Tensor], made: list[Tensor]) -> bool:
    """Return whether the operation makes a tensor of a Python number, as `torch.where(w > 0, 1.0, 0.0)` does."""
    return op.moves and (not given or op.name == "lift_fresh") and bool(made) and made[0].ndim == 0


_OPERATIONS: dict[int, _Operation] = {}
"""By the identity of the operation, which lives as long as the process; its own hash is slow."""


def _operation(func: OpOverload) -> _Operation:
    name = func.overloadpacket.__name__
    rule = RULES.get(name) if func.namespace == "aten" else None
    # only a name for others, which inference mode does not take apart by itself
    composite = func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)
    apart = rule is None and name not in MOVES and composite
    made = _Operation(name, rule, name in MOVES, name in KEEPS_BINARY, func._schema.is_mutable, apart)
    return _OPERATIONS.setdefault(id(func), made)
