"""One training step without the update, and the timing of several ways to do it. Needs torch alone.

Shape suffixes: B samples, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

Answer = Callable[[], Tensor]


def train_step(net: nn.Module, logits_BK: Answer, labels_B: Tensor) -> None:
    """Forward, cross-entropy, backward: leaves the gradients at the parameters of `net`."""
    net.zero_grad(set_to_none=True)
    F.cross_entropy(logits_BK(), labels_B).backward()  # type: ignore[no-untyped-call]


def gradients(net: nn.Module) -> dict[str, Tensor]:
    """Return the gradients, by the parameter's name; a parameter that nothing reaches has none."""
    return {name: value.grad for name, value in net.named_parameters() if value.grad is not None}


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each round; every round runs all of them, in turning order.

    What else the machine does weighs on neighbours alike, so that ratios within a round mean more than times.
    """
    for run in ways.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in _turned(list(ways), turn):
            begin = time.perf_counter()
            ways[name]()
            found[name].append(time.perf_counter() - begin)
    return found


def _turned(names: Sequence[str], turn: int) -> list[str]:
    at = turn % len(names)
    return [*names[at:], *names[:at]]
