"""Running an author's module and leaving no trace: all that it holds is put back, whatever ran.

snnTorch enters every neuron into a list of its class when it is built, never a copy; `snntorch.utils.reset(net)` and
`Leaky.reset_hidden()` reset all neurons in that list, those of other networks too. While an export runs, the list
holds the neurons of its own network alone, or of the copy that stands in for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import snntorch
import torch
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.export.chance import random_states, restore_random, seed_all

INTERNAL = frozenset(vars(nn.Module()))
THEIRS = ("torch", "snntorch")


class Held:
    """What a module and those below it hold: attributes, what containers contain, and the values of tensors.

    An attribute of a class of the author's own is kept as it is; what it holds inside is not looked into.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules = [*model.named_modules()]
        self.contents: dict[int, tuple[Any, Any]] = {}
        for _, module in self.modules:
            self._keep(vars(module))

    def restore(self) -> None:
        """Put everything back in place."""
        for value, before in self.contents.values():
            match value:
                case dict() | set():
                    value.clear()
                    value.update(before)
                case list():
                    value[:] = before
                case deque():
                    value.clear()
                    value.extend(before)
                case np.ndarray():
                    value[...] = before
                case torch.Generator():
                    value.set_state(before)
                case Tensor() if not torch.equal(value, before):
                    value.data.copy_(before)

    def before(self, path: str, name: str) -> Any:
        """Return an attribute as it was, `None` where there was none."""
        _, attributes = self.contents[id(vars(dict(self.modules)[path]))]
        return attributes.get(name)

    def changed_attributes(self) -> set[tuple[str, str]]:
        """Return (path of the module, name) of each attribute of the author's own modules that is another one now."""
        found = set()
        for path, module in self.modules:
            if type(module).__module__.partition(".")[0] in THEIRS:
                continue
            _, before = self.contents[id(vars(module))]
            own = {name: value for name, value in vars(module).items() if name not in INTERNAL}
            found |= {(path, n) for n, value in own.items() if n not in before or not self._same(before[n], value)}
        return found

    def changed_weights(self) -> list[str]:
        """Return the parameters and buffers that are others now, states of neurons aside."""
        found = []
        for path, module in self.modules:
            kinds = ("_parameters",) if isinstance(module, snntorch.SpikingNeuron) else ("_parameters", "_buffers")
            for kind in kinds:
                now = vars(module)[kind]
                _, before = self.contents[id(now)]
                names = [name for name in before if not self._same(before[name], now.get(name))]
                found += [f"{path}.{name}" if path else name for name in names]
        return found

    def _keep(self, value: Any) -> None:
        if id(value) in self.contents:
            return
        match value:
            case dict() | list() | set() | deque():
                self.contents[id(value)] = (value, value.copy())
            case Tensor() if value.layout is torch.strided and not value.is_meta:
                self.contents[id(value)] = (value, value.detach().clone())
            case np.ndarray():
                self.contents[id(value)] = (value, value.copy())
            case torch.Generator():
                self.contents[id(value)] = (value, value.get_state())
        if isinstance(value, dict | list | tuple | deque):
            for inner in value.values() if isinstance(value, dict) else value:
                self._keep(inner)

    def _same(self, before: Any, now: Any) -> bool:
        """Return whether `now` is what stood there `before`, with the contents that it had then."""
        if before is not now:
            return type(before) is type(now) and isinstance(now, bool | int | float | str) and before == now
        if id(now) not in self.contents:
            return all(self._same(x, x) for x in now) if isinstance(now, tuple) else True
        _, inside = self.contents[id(now)]
        match now:
            case Tensor() | torch.Generator():
                value = now.get_state() if isinstance(now, torch.Generator) else now
                return bool(value.shape == inside.shape and torch.equal(value, inside))
            case np.ndarray():
                return bool(now.shape == inside.shape and (now == inside).all())
            case dict():
                return now.keys() == inside.keys() and all(self._same(inside[key], now[key]) for key in now)
            case set():
                return bool(now == inside)
        return len(now) == len(inside) and all(map(self._same, inside, now))


@contextmanager
def untouched(model: nn.Module) -> Iterator[Held]:
    """Within, `model` may run: in evaluation, from a fixed seed, its neurons alone in snnTorch's lists.

    After it, all is as it was: attributes, states, parameters, modes, hooks, torch's, numpy's and Python's random
    numbers, and snnTorch's lists.

    Raises:
        UsageError: a parameter has no shape yet.
    """
    for name, value in model.named_parameters():
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise UsageError(f"parameter '{name}'", "it has no shape yet", "Call the network once, which gives it one")
    held = Held(model)
    drawn = random_states()
    try:
        seed_all(0)
        with listed({id(neuron): neuron for neuron in model.modules()}):
            model.eval()
            yield held
    finally:
        held.restore()
        restore_random(drawn)


@contextmanager
def listed(stand_ins: Mapping[int, nn.Module]) -> Iterator[None]:
    """Within, snnTorch's lists hold the stand-in of each neuron in them, by its `id`, and no other neuron."""
    kept = {kind: kind.instances for kind in _kinds() if "instances" in vars(kind)}
    contents = {kind: [*found] for kind, found in kept.items()}
    try:
        for kind, found in contents.items():
            kind.instances = [stand_ins[id(neuron)] for neuron in found if id(neuron) in stand_ins]
        yield
    finally:
        for kind in _kinds():
            if kind in kept:
                kept[kind][:] = contents[kind]
                kind.instances = kept[kind]
            elif "instances" in vars(kind):
                del kind.instances


def _kinds() -> list[Any]:
    kinds: list[Any] = [snntorch.SpikingNeuron]
    for kind in kinds:
        kinds += [child for child in kind.__subclasses__() if child not in kinds]
    return kinds
