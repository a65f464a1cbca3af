"""All tallies of one model, by name."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

from spikeport.benchmarks.counting.torch_counter.apart import Apart, Options
from spikeport.benchmarks.counting.torch_counter.constants import Constants
from spikeport.benchmarks.counting.torch_counter.products import ProductTally
from spikeport.benchmarks.counting.torch_counter.stored import Stored
from spikeport.benchmarks.counting.torch_counter.tally import Tally
from spikeport.errors import UnfaithfulError

ADDITION = "one addition per output and step; its products are counted"

_Key = tuple[str, tuple[int, ...], torch.device, Hashable]


class Ledger:
    """Tallies by name and input shape, and what is not counted."""

    def __init__(self, model: nn.Module, options: Options) -> None:
        self.options = options
        self.constants = Constants(model)
        self.weighted: dict[_Key, Tally] = {}
        self.stored: dict[str, Stored] = {}
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
        self,
        name: str,
        z: Tensor,
        shape: tuple[int, ...],
        fan: Callable[[], Tensor],
        weight: Tensor,
        use: Hashable = None,
    ) -> Tally:
        """Count `z` of [..., *shape] as the input of a weighted layer, and return its tally.

        Args:
            name: the layer's.
            z: what reaches it.
            shape: of one row.
            fan: makes the fan-out map of that shape.
            weight: its weights.
            use: what else the map depends on.
        """
        if z.layout is not torch.strided:
            reason = f"its input is a {z.layout} tensor, whose elements lie elsewhere"
            raise UnfaithfulError(f"layer '{name}'", reason, "Count networks on dense tensors")
        tally = self.weighted.get((name, shape, z.device, use))
        if tally is None:
            tally = self._open((name, shape, z.device, use), fan, weight)
        tally.add(z)
        return tally

    def _open(self, key: _Key, fan: Callable[[], Tensor], weight: Tensor) -> Tally:
        self.store(key[0], weight)
        tally = Tally(key[0], key[1], fan, key[2], self.apart(f"layer '{key[0]}'", 2, key[2]))
        if self.options.nonzero_weights_only:
            sources = self.constants.sources(weight)
            self._mapped += [(key[0], w, w._version) for w in sources if not w.is_inference()]
        return self.weighted.setdefault(key, tally)

    def store(self, name: str, weight: Tensor) -> None:
        """Say that `weight` is among the stored weights of the layer `name`."""
        self.stored.setdefault(name, Stored()).add(*self.constants.stored(weight))

    def use(self, weight: Tensor) -> Hashable:
        """Return what the fan-out map of `weight` depends on: its shape, and where it is 0 if that is asked for."""
        return self.constants.view(weight) if self.options.nonzero_weights_only else weight.shape

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
