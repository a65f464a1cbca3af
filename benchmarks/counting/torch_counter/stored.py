"""Which elements in memory are weights of one layer."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from spikeport.benchmarks.counting.torch_counter.accumulators import zeros

_PRESENT, _ZERO = 1, 2


class Stored:
    """The stored weights of one layer: each once, whatever views of them it applies, and however often."""

    def __init__(self) -> None:
        self._seen: set[Hashable] = set()
        self._marks: dict[Hashable, Tensor] = {}

    def add(self, names: tuple[str, ...], weight: Tensor) -> None:
        """Add the elements of `weight`, which no other weights than those in `names` are behind."""
        elements = weight.untyped_storage().nbytes() // weight.element_size()
        key = (names, elements)
        view = weight.shape, weight.stride(), weight.storage_offset()
        if (key, view) in self._seen:
            return
        self._seen.add((key, view))
        if key not in self._marks:
            self._marks[key] = zeros(elements, dtype=torch.uint8)
        absent = (weight.detach() == 0).to("cpu", torch.uint8)
        self._marks[key].as_strided(*view).copy_(absent + _PRESENT)

    def read(self) -> tuple[int, int]:
        """Return how many there are, and how many of them are 0."""
        marks = self._marks.values()
        return sum(int(m.count_nonzero()) for m in marks), sum(int((m == _ZERO).count_nonzero()) for m in marks)
