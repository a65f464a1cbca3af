"""The hooks of one model: weighted layers, neurons, and the names of the modules that are running."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from snntorch import SpikingNeuron
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from spikeport.benchmarks.counting.torch_counter.layers import (
    SEQUENCES,
    count_layer,
    count_sequence,
    has_hook,
    unseen_in_sequence,
)
from spikeport.benchmarks.counting.torch_counter.ledger import Ledger
from spikeport.benchmarks.counting.torch_counter.marks import mark, mark_of
from spikeport.benchmarks.counting.torch_counter.neurons import STATE, UPDATE_ARITHMETIC
from spikeport.benchmarks.counting.torch_counter.spikes import SpikeTally
from spikeport.benchmarks.counting.torch_counter.tally import Tally
from spikeport.errors import UsageError

_SAME_ORDER = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
_Guard = torch._C._DisableTorchDispatch
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
KEEPS_BINARY = (*_POOLS, *_SAME_ORDER)
"""Modules that hand on nothing but elements of their input, in evaluation mode."""

_QUIET_REASONS: dict[type[nn.Module], str] = {
    **dict.fromkeys(_POOLS, "the comparisons inside its windows; its results count at the next weighted layer"),
    **dict.fromkeys(
        (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
        "the additions inside its windows; its results count at the next weighted layer",
    ),
    **dict.fromkeys(
        (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
        "its scale and shift of every element; fold it into the layer before",
    ),
    nn.ReLU: "one comparison an element",
}


class Hooks:
    """Counts the modules below `model` into `ledger` while the context is open.

    Inside a module whose arithmetic is known (a layer, a neuron, a pool) the dispatch mode is switched off: it
    would cost more than the module.
    """

    def __init__(self, model: nn.Module, ledger: Ledger) -> None:
        self.model = model
        self.ledger = ledger
        self.neurons: dict[str, SpikeTally] = {}
        self.layers: list[str] = []
        self.started = False
        self._handles: list[RemovableHandle] = []
        self._running: list[str] = []
        self._guards: list[Any] = []
        # Weights inside a neuron, which some snnTorch resets compute twice: the network applies them once an update.
        self._fresh: set[nn.Module] = set()

    def where(self) -> str:
        """Return the path of the running module."""
        return self._running[-1] if self._running else type(self.model).__name__

    def __enter__(self) -> None:
        paths: dict[nn.Module, str] = {}
        for path, module in self.model.named_modules():
            paths.setdefault(module, path or type(module).__name__)
        inner = {child for m in paths if type(m) in STATE for child in m.modules() if child is not m}
        for module, path in paths.items():
            self._attach(path, module, module in inner)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        while self._guards:
            self._guards.pop().__exit__(None, None, None)
        self._running.clear()

    def _attach(self, path: str, module: nn.Module, inner: bool) -> None:
        kind = type(module)
        if has_hook(module):
            self.layers.append(path)
            self._before(module, self._layer(path, module, inner))
            self._after(module, lambda *_: None)
            if getattr(module, "bias", None) is not None:
                self.ledger.leave_out(f"{path}.bias", "one addition per output and step; its products are counted")
        elif kind in STATE:
            self.neurons.setdefault(path, SpikeTally(module))
            self._before(module, self._update(module))
            self._after(module, self._spikes(path, module))
        elif kind in SEQUENCES:
            self._before(module, self._quiet)
            self._after(module, self._sequence(path))
        elif kind in KEEPS_BINARY or kind in _QUIET_REASONS:
            self._before(module, self._quiet)
            self._after(module, self._hand_on(path))
        else:
            self._name(path, module)

    def _before(self, module: nn.Module, hook: Any) -> None:
        self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def _name(self, path: str, module: nn.Module) -> None:
        """Follow a module that is seen by its operations."""
        if isinstance(module, SpikingNeuron):
            reason = f"{type(module).__name__} is no known neuron; its updates and spikes have no rule"
            self.ledger.leave_out(path, reason)

        def leave(*_: Any) -> None:
            self._running.pop()

        self._before(module, lambda *_: self._running.append(path))
        self._handles.append(module.register_forward_hook(leave, always_call=True))

    def _after(self, module: nn.Module, hook: Any) -> None:
        """Run `hook` after the module, also where it failed; then let the dispatch mode see again."""

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            try:
                if output is not None:
                    hook(module, args, kwargs, output)
            finally:
                self._guards.pop().__exit__(None, None, None)

        self._handles.append(module.register_forward_hook(after, with_kwargs=True, always_call=True))

    def _quiet(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        guard = _Guard()
        guard.__enter__()  # type: ignore[no-untyped-call]
        self._guards.append(guard)
        if not self.started:
            raise UsageError("SpikeCounter", "no batch was started", "Call start(len(x)) before each batch")

    def _layer(self, path: str, module: nn.Module, inner: bool) -> Any:
        tallies: dict[tuple[torch.Size, torch.device], Tally] = {}

        def count(_: nn.Module, args: Any, kwargs: Any) -> None:
            self._quiet(module, args, kwargs)
            if inner:
                if module not in self._fresh:
                    return
                self._fresh.discard(module)
            x = args[0] if args else kwargs["input"]
            if tally := tallies.get((x.shape, x.device)):
                tally.add(x)
                return
            found = count_layer(self.ledger, path, module, x, args[1] if len(args) > 1 else kwargs.get("hx"))
            if found is not None:
                tallies[x.shape, x.device] = found

        return count

    def _update(self, neuron: nn.Module) -> Any:
        inner = [child for child in neuron.modules() if child is not neuron]

        def begin(_: nn.Module, args: Any, kwargs: Any) -> None:
            self._quiet(neuron, args, kwargs)
            if inner:
                self._fresh.update(inner)

        return begin

    def _spikes(self, path: str, neuron: nn.Module) -> Any:
        tally = self.neurons[path]
        if reason := UPDATE_ARITHMETIC.get(type(neuron)):
            self.ledger.leave_out(f"{path}:gates", reason)

        def count(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            tally.add(output[0] if isinstance(output, tuple) else output, neuron, self.ledger.batch)

        return count

    def _sequence(self, path: str) -> Any:
        def count(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            x = args[0] if args else kwargs["input"]
            if reason := unseen_in_sequence(module, x):
                self.ledger.leave_out(path, reason)
                return
            count_sequence(self.ledger, path, module, x, args[1] if len(args) > 1 else kwargs.get("hx"), output[0])

        return count

    def _hand_on(self, path: str) -> Any:
        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if reason := _QUIET_REASONS.get(type(module)):
                self.ledger.leave_out(path, reason)
            x = args[0] if args else kwargs["input"]
            known = mark_of(x) if type(module) in KEEPS_BINARY and isinstance(output, Tensor) else None
            if known is not None and output is not x:
                same = type(module) in _SAME_ORDER and len(output) == len(x)
                mark(output, known.sums if same else None)

        return after
