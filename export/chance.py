"""Random numbers in forward: which generator moved, and which call moved it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from spikeport.errors import UnfaithfulError

RandomStates = tuple[Tensor, Any, Any]


def random_states() -> RandomStates:
    """Return the states of torch's, numpy's and Python's generators."""
    return torch.default_generator.get_state(), np.random.get_state(), random.getstate()


def restore_random(states: RandomStates) -> None:
    """Let the generators go on from `states`."""
    torch.default_generator.set_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


def seed_all(seed: int) -> None:
    """Seed the three of them."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def refuse_chance(before: RandomStates, again: Callable[[], object]) -> None:
    """Refuse a forward that drew random numbers since `before`.

    Args:
        before: the generators' states.
        again: runs the same once more, to find the call.

    Raises:
        UnfaithfulError: naming the call.
    """
    which = _moved(before)
    if not which:
        return
    if which == "torch":
        with suppress(Exception), _Draws() as draws:
            again()
        which = draws.call or which
    raise UnfaithfulError(
        f"call to {which}",
        "forward draws random numbers by it, in evaluation too: another network at every call",
        "Keep chance out of forward: give noise as an input, and F.dropout training=self.training",
    )


def _moved(before: RandomStates) -> str:
    torch_state, numpy_state, python_state = random_states()
    if not torch.equal(torch_state, before[0]):
        return "torch"
    if not np.array_equal(numpy_state[1], before[1][1]) or numpy_state[2:] != before[1][2:]:
        return "numpy.random"
    return "" if python_state == before[2] else "random"


class _Draws(TorchFunctionMode):
    """Remembers the first torch function that moves torch's generator."""

    call = ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = torch.default_generator.get_state()
        value = func(*args, **(kwargs or {}))
        if not self.call and not torch.equal(before, torch.default_generator.get_state()):
            self.call = f"'{getattr(func, '__name__', func)}'"
        return value
