"""A network as its author writes it, with the author's own run of it.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One network.

    Attributes:
        number: its row.
        name: what it is.
        build: makes it.
        sample: what forward takes; where one call is one step, all steps stacked [T, B, *shape].
        truth: the author's run on the sample: everything that the author's forward returns, by name, in order.
        settings: what else `export` is told.
        gain: all weights and biases are multiplied by it, so that every layer fires.
    """

    number: int
    name: str
    build: Callable[[], nn.Module]
    sample: Callable[[], Tensor]
    truth: Callable[[nn.Module, Tensor], Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    gain: float = 1.0

    def make(self) -> tuple[nn.Module, Tensor]:
        """Return the network with seeded weights, as it is evaluated, and its sample.

        It is alone in snnTorch's list of instances, as in its author's script: `utils.reset` goes through all of them.
        """
        snntorch.SpikingNeuron.instances.clear()
        torch.manual_seed(self.number)
        net = self.build().eval()
        with torch.no_grad():
            for name, weight in net.named_parameters():
                if name.endswith(("weight", "bias")):
                    weight.mul_(self.gain)
        return net, self.sample()

    def outputs(self, net: nn.Module, sample: Tensor) -> Outputs:
        """Return what the author gets, on a fresh network."""
        with torch.no_grad():
            return named(self.truth(net, sample.clone()))


def by_window(net: nn.Module, sample: Tensor) -> Any:
    """Forward takes all of it."""
    return net(sample)


def by_step(net: nn.Module, sample_TB: Tensor) -> Any:
    """The author's loop stands outside of forward, after `utils.reset`, and stacks what each step returns."""
    snntorch.utils.reset(net)
    rows = [net(x) for x in sample_TB]
    if isinstance(rows[0], Tensor):
        return torch.stack(rows)
    return tuple(torch.stack(values) for values in zip(*rows, strict=True))


def named(returned: Any) -> Outputs:
    """Return tensors by name: a dictionary's keys, a tuple's places; a list of all steps is stacked."""
    if isinstance(returned, Tensor):
        return {"output": returned.clone()}
    if isinstance(returned, Mapping):
        parts = {str(key): named(value) for key, value in returned.items()}
    elif isinstance(returned, list):
        return {"output": torch.stack(returned)}
    else:
        parts = {str(place): named(value) for place, value in enumerate(returned)}
    return {
        key if name == "output" else f"{key}_{name}": value
        for key, found in parts.items()
        for name, value in found.items()
    }


def values(*shape: int, seed: int = 7) -> Callable[[], Tensor]:
    """Return what makes values in 0 to 1, as pixels are."""
    return lambda: torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def spikes(*shape: int, rate: float = 0.3, seed: int = 7) -> Callable[[], Tensor]:
    """Return what makes values of 0 and 1."""
    return lambda: (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def held(x: Callable[[], Tensor], steps: int) -> Callable[[], Tensor]:
    """Return what makes the same value at every step."""
    return lambda: x().expand(steps, *x().shape).contiguous()
