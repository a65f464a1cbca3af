"""All tallies of one model, by name; knows which tensors are weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from spikeport.benchmarks.counting.torch_counter.apart import Apart, Options
from spikeport.benchmarks.counting.torch_counter.compiled import Nonzero
from spikeport.benchmarks.counting.torch_counter.neurons import STATE
from spikeport.benchmarks.counting.torch_counter.products import ProductTally
from spikeport.benchmarks.counting.torch_counter.tally import Tally
from spikeport.errors import UnfaithfulError

_Key = tuple[str, tuple[int, ...], torch.device]


class Constants:
    """Knows the tensors that do not depend on the input: parameters, buffers, their views, and what is made of them.

    A buffer that something is written into in place is none any more; neuron state never is one.
    """

    def __init__(self, model: nn.Module) -> None:
        state = {id(t) for m in model.modules() if type(m) in STATE for t in m.buffers(recurse=False)}
        named = [*model.named_parameters(), *((n, b) for n, b in model.named_buffers() if id(b) not in state)]
        # Held, since the address of a buffer that the model replaces would be another tensor's soon.
        self._held = [t.detach() for _, t in named]
        self._names = {_pointer(t): name for name, t in reversed(named) if t.numel()}
        self._derived: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def __contains__(self, tensor: Tensor) -> bool:
        return _pointer(tensor) in self._names or (bool(self._derived) and tensor in self._derived)

    def name(self, tensor: Tensor) -> str | None:
        """Return the name of the parameter that `tensor` views, without `.weight`."""
        found = self._names.get(_pointer(tensor))
        return None if found is None else found.removesuffix(".weight")

    def derive(self, tensor: Tensor) -> None:
        """Say that `tensor` was made of constants alone."""
        self._derived[tensor] = True

    def forget(self, tensor: Tensor) -> None:
        """Say that something else was written into `tensor`."""
        self._names.pop(_pointer(tensor), None)
        self._derived.pop(tensor, None)  # type: ignore[no-untyped-call]


def _pointer(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _zeros(weight: Tensor) -> int:
    values, found = weight.detach(), Nonzero()
    return values.numel() - found.total if values.is_cpu and found.add(values) else int((values == 0).sum())


class Ledger:
    """Tallies by name and input shape, and what is not counted."""

    def __init__(self, model: nn.Module, options: Options) -> None:
        self.options = options
        self.constants = Constants(model)
        self.weighted: dict[_Key, Tally] = {}
        self.products: dict[str, ProductTally] = {}
        self.not_counted: dict[str, str] = {}
        self._mapped: list[tuple[str, Tensor, int]] = []
        self.batches: list[int] = []

    def start(self, samples: int) -> None:
        """Begin a batch."""
        self._check_weights()
        self.batches.append(samples)
        for tally in self.weighted.values():
            tally.start(samples)
        for product in self.products.values():
            product.start(samples)

    def events(
        self, name: str, z: Tensor, shape: tuple[int, ...], fan: Callable[[], Tensor], weights: tuple[Tensor, ...]
    ) -> Tally:
        """Count `z` of [..., *shape] as the input of a weighted layer, and return its tally.

        Args:
            name: the layer's.
            z: what reaches it.
            shape: of one row.
            fan: makes the fan-out map of that shape.
            weights: its weights.
        """
        if z.layout is not torch.strided:
            reason = f"its input is a {z.layout} tensor, whose elements lie elsewhere"
            raise UnfaithfulError(f"layer '{name}'", reason, "Count networks on dense tensors")
        tally = self.weighted.get((name, shape, z.device))
        if tally is None:
            tally = self._open((name, shape, z.device), fan, weights)
        tally.add(z)
        return tally

    def _open(self, key: _Key, fan: Callable[[], Tensor], weights: tuple[Tensor, ...]) -> Tally:
        sizes = (sum(w.numel() for w in weights), sum(map(_zeros, weights)))
        tally = Tally(key[0], key[1], fan, sizes, key[2], self.apart(f"layer '{key[0]}'", 2, key[2]))
        if self.options.nonzero_weights_only:
            self._mapped += [(key[0], w, w._version) for w in weights if not w.is_inference()]
        return self.weighted.setdefault(key, tally)

    def _check_weights(self) -> None:
        """Refuse weights that changed since their zeros were mapped."""
        for name, weight, version in self._mapped:
            if weight._version != version:
                reason = "its weights changed since it was first counted, and which are 0 with them"
                raise UnfaithfulError(f"layer '{name}'", reason, "Count it by another SpikeCounter")

    def product(self, name: str, device: torch.device) -> ProductTally:
        """Return the tally of the products of two activations at `name`."""
        if name not in self.products:
            self.products[name] = ProductTally(device, self.apart(f"product '{name}'", 2, device))
        return self.products[name]

    def apart(self, place: str, kinds: int, device: torch.device) -> Apart | None:
        """Return what keeps totals of `place` by call and by sample, `None` where nobody asked for them.

        A place that first runs now has done nothing for the samples before.
        """
        if not self.options.by_step and not self.options.by_sample:
            return None
        made = Apart(place, kinds, self.options, device)
        for samples in self.batches:
            made.start(samples)
        return made

    def leave_out(self, name: str, reason: str) -> None:
        """List work that no figure has."""
        self.not_counted.setdefault(name, reason)
