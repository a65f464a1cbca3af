"""Stands in for the `forward` of each module below one model: weighted layers, neurons, and who is running."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from snntorch import SpikingNeuron
from torch import Tensor, nn
from torch.nn.modules import module as hooked_by_all

from spikeport.benchmarks.counting.torch_counter.functional import Functional
from spikeport.benchmarks.counting.torch_counter.layers import (
    SEQUENCES,
    count_layer,
    count_sequence,
    has_hook,
    leave_out_biases,
    unseen_in_sequence,
)
from spikeport.benchmarks.counting.torch_counter.ledger import Ledger
from spikeport.benchmarks.counting.torch_counter.marks import mark, mark_of
from spikeport.benchmarks.counting.torch_counter.neurons import STATE, UPDATE_ARITHMETIC
from spikeport.benchmarks.counting.torch_counter.spikes import SpikeTally
from spikeport.benchmarks.counting.torch_counter.tally import Tally
from spikeport.errors import UnfaithfulError, UsageError

_SAME_ORDER = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
_Guard = torch._C._DisableTorchDispatch
_Run = Callable[..., Any]
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
_NEURONS_OF_SNNTORCH = "snntorch._neurons."
_OURS = "_spikeport_counts"
_BEFORE = "Change the model before start()"
_IN_PARTS = (
    "between modules",
    "operations of the caller's: parts of the model were called by themselves; call it whole, or write the steps into "
    "a module's forward",
)


class Hooks:
    """Counts the modules below `model` into `ledger` while the context is open.

    Each module's `forward` is replaced on the instance: torch's own hooks cost several times as much a call.
    Inside a module whose arithmetic is known (a layer, a neuron, a pool, a Sequential of nothing else) the dispatch
    mode is switched off: it would cost more than the module. For a model that is such a Sequential it is never on: it
    would see the caller's own operations alone, and cost more than they.
    """

    def __init__(self, model: nn.Module, ledger: Ledger) -> None:
        self.model = model
        self.ledger = ledger
        self.neurons: dict[str, SpikeTally] = {}
        self.unknown_neurons: dict[str, None] = {}
        self.layers: list[str] = []
        self._watching = ExitStack()
        self._watched = True
        self._started = False
        self._replaced: list[tuple[nn.Module, Any]] = []
        self._running: list[str] = []
        self._quiet = False
        self._known: dict[nn.Module, _Run] = {}
        self._chains: dict[nn.Module, list[_Run]] = {}
        # Weights inside a neuron, which some snnTorch resets compute twice: the network applies them once an update.
        self._fresh: set[nn.Module] = set()

    def where(self) -> str:
        """Return the path of the running module."""
        return self._running[-1] if self._running else type(self.model).__name__

    def start(self) -> None:
        """Begin a batch: the hooks of others may do anything, and where there are some, their calls are watched."""
        self._started = True
        self._chains = self._find_chains()
        if not self._watched and self.model not in self._chains:
            reason = "it has got hooks since counting began, and nobody watches what they do"
            raise UnfaithfulError("the model", reason, "Count it by another SpikeCounter")
        for tally in self.neurons.values():
            tally.start(self.ledger.batches[-1])

    def _find_chains(self) -> dict[nn.Module, list[_Run]]:
        """Return each Sequential of nothing but known modules, and what runs in it."""
        sequentials = [m for m in self.model.modules() if type(m) is nn.Sequential]
        return {m: self._members(m) for m in sequentials if all(map(self._is_closed, m.modules()))}

    def _is_closed(self, module: nn.Module) -> bool:
        """Return whether a call of `module` is its `forward`, and does nothing that we do not know."""
        if type(module) is not nn.Sequential and module not in self._known:
            return False
        listens = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        return not any(listens) and not hooked_by_all._has_any_global_hook()  # type: ignore[no-untyped-call]

    def _members(self, chain: nn.Module) -> list[_Run]:
        """Return what runs, in order; a member that stands there twice runs twice."""
        runs: list[_Run] = []
        for member in chain._modules.values():
            assert member is not None
            runs += [self._known[member]] if member in self._known else self._members(member)
        return runs

    def __enter__(self) -> None:
        paths: dict[nn.Module, str] = {}
        for path, module in self.model.named_modules():
            paths.setdefault(module, path or type(module).__name__)
        inner = {child for m in paths if type(m) in STATE for child in m.modules() if child is not m}
        if any(hasattr(module.__dict__.get("forward"), _OURS) for module in paths):
            reason = "another SpikeCounter counts it, or it was copied out of one"
            raise UsageError("the model", reason, "Leave the other one first, and copy the model outside of it")
        for module, path in paths.items():
            self._replace(module, self._stand_in(path, module, module in inner))
        self._watched = self.model not in self._find_chains()
        if self._watched:
            self._watching.enter_context(Functional(self.ledger, self.where))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.close()
        for module, before in self._replaced:
            if before is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = before
        self._replaced.clear()

    def _replace(self, module: nn.Module, forward: _Run) -> None:
        setattr(forward, _OURS, True)
        self._replaced.append((module, module.__dict__.get("forward")))
        module.__dict__["forward"] = forward

    def _stand_in(self, path: str, module: nn.Module, inner: bool) -> _Run:
        kind = type(module)
        if "forward" in module.__dict__:
            return self._named(path, module)
        if has_hook(module):
            self.layers.append(path)
            leave_out_biases(self.ledger, path, module)
            run = self._layer(path, module, inner)
        elif kind in STATE:
            run = self._neuron(path, module)
        elif kind in SEQUENCES:
            run = self._sequence(path, module)
        elif kind in KEEPS_BINARY or kind in _QUIET_REASONS:
            run = self._hand_on(path, module)
        elif kind is nn.Sequential:
            return self._chain(path, module)
        else:
            return self._named(path, module)
        self._known[module] = run
        return self._unwatched(module, run)

    def _unwatched(self, module: nn.Module, run: _Run) -> _Run:
        """Run it with the dispatch mode off."""

        def forward(*args: Any, **kwargs: Any) -> Any:
            if self._quiet:
                return run(*args, **kwargs)
            if not self._started:
                raise UsageError("SpikeCounter", "no batch was started", "Call start(len(x)) before each batch")
            if not self._watched and module is not self.model:
                self.ledger.leave_out(*_IN_PARTS)
            self._quiet = True
            try:
                with _Guard():
                    return run(*args, **kwargs)
            finally:
                self._quiet = False

        return forward

    def _named(self, path: str, module: nn.Module) -> _Run:
        """Follow a module that is seen by its operations."""
        own = module.forward
        unknown = isinstance(module, SpikingNeuron) or type(module).__module__.startswith(_NEURONS_OF_SNNTORCH)
        reason = f"{type(module).__name__} is no known neuron; its updates and spikes have no rule"

        def forward(*args: Any, **kwargs: Any) -> Any:
            if unknown:
                self.unknown_neurons.setdefault(path)
                self.ledger.leave_out(path, reason)
            self._running.append(path)
            try:
                return own(*args, **kwargs)
            finally:
                self._running.pop()

        return forward

    def _chain(self, path: str, module: nn.Module) -> _Run:
        """Run a Sequential; the members of one that is closed straight after each other, with the mode off."""
        watched = self._named(path, module)

        def members(input: Any) -> Any:
            for run in self._chains[module]:
                input = run(input)
            return input

        unwatched = self._unwatched(module, members)
        inside = list(module.modules())
        order = [(member, list(member._modules.values())) for member in inside if member._modules]

        def forward(*args: Any, **kwargs: Any) -> Any:
            if module not in self._chains:
                return watched(*args, **kwargs)
            for member in inside:
                if member._forward_hooks or member._forward_pre_hooks:
                    raise UnfaithfulError(f"'{path}'", "it got a hook while it was counted", _BEFORE)
            for member, members_ in order:
                if list(member._modules.values()) != members_:
                    raise UnfaithfulError(f"'{path}'", "its modules changed while it was counted", _BEFORE)
            return unwatched(*args, **kwargs)

        return forward

    def _layer(self, path: str, module: nn.Module, inner: bool) -> _Run:
        own = module.forward
        tallies: dict[tuple[torch.Size, torch.device], Tally] = {}

        def run(*args: Any, **kwargs: Any) -> Any:
            if not inner or module in self._fresh:
                self._fresh.discard(module)
                x = args[0] if args else kwargs["input"]
                if tally := tallies.get((x.shape, x.device)):
                    tally.add(x)
                else:
                    found = count_layer(self.ledger, path, module, x, args[1] if len(args) > 1 else kwargs.get("hx"))
                    if found is not None:
                        tallies[x.shape, x.device] = found
            return own(*args, **kwargs)

        return run

    def _neuron(self, path: str, neuron: nn.Module) -> _Run:
        own = neuron.forward
        inner = [child for child in neuron.modules() if child is not neuron]
        tally = self.neurons.setdefault(path, SpikeTally(path, neuron, self.ledger))
        if reason := UPDATE_ARITHMETIC.get(type(neuron)):
            self.ledger.leave_out(f"{path}:gates", reason)

        def run(*args: Any, **kwargs: Any) -> Any:
            if inner:
                self._fresh.update(inner)
            output = own(*args, **kwargs)
            x = args[0] if args else kwargs["input_"]
            tally.add(output[0] if isinstance(output, tuple) else output, x)
            return output

        return run

    def _sequence(self, path: str, module: nn.Module) -> _Run:
        own = module.forward

        def run(*args: Any, **kwargs: Any) -> Any:
            output = own(*args, **kwargs)
            x = args[0] if args else kwargs["input"]
            if reason := unseen_in_sequence(module, x):
                self.ledger.leave_out(path, reason)
            else:
                hx = args[1] if len(args) > 1 else kwargs.get("hx")
                count_sequence(self.ledger, path, module, x, hx, output[0])
            return output

        return run

    def _hand_on(self, path: str, module: nn.Module) -> _Run:
        own = module.forward
        reason = _QUIET_REASONS.get(type(module))
        keeps, same_order = type(module) in KEEPS_BINARY, type(module) in _SAME_ORDER

        def run(*args: Any, **kwargs: Any) -> Any:
            output = own(*args, **kwargs)
            if reason:
                self.ledger.leave_out(path, reason)
            x = args[0] if args else kwargs["input"]
            known = mark_of(x) if keeps and isinstance(output, Tensor) else None
            if known is not None and output is not x:
                mark(output, known.sums if same_order and len(output) == len(x) else None)
            return output

        return run
