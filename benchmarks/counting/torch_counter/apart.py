"""Totals apart by call and by sample.

Shape suffixes: K kinds of totals, R rows of one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spikeport.benchmarks.counting.torch_counter.accumulators import zeros
from spikeport.errors import UnfaithfulError

Table = tuple[tuple[int, ...], ...]
"""Totals of each kind, by call or by sample."""


@dataclass(frozen=True)
class Options:
    """What to keep beside the totals; see `SpikeCounter`."""

    nonzero_weights_only: bool
    by_step: bool
    by_sample: bool


class Apart:
    """What one place of the model did, by call since the batch's start and by sample; in float64, on its device.

    Args:
        place: what a refusal calls it.
        kinds: how many totals are kept of it.
        options: which of the two are wanted.
        device: of what it gets.
    """

    def __init__(self, place: str, kinds: int, options: Options, device: torch.device) -> None:
        self.place = place
        self.steps: list[Tensor] | None = [] if options.by_step else None
        self.samples: list[Tensor] | None = [] if options.by_sample else None
        self._kinds = kinds
        self._device = device
        self._call = 0

    def start(self, samples: int) -> None:
        """Begin a batch."""
        self._call = 0
        if self.samples is not None:
            self.samples.append(zeros(samples, self._kinds, dtype=torch.float64, device=self._device))

    def add(self, split_KR: Tensor, lead: int) -> None:
        """Add the totals of one call.

        Args:
            split_KR: of each row; the first axis of what the rows were made of varies slowest.
            lead: the length of that axis.

        Raises:
            UnfaithfulError: totals by sample are wanted, and that axis is not the batch.
        """
        if self.steps is not None:
            if self._call == len(self.steps):
                self.steps.append(zeros(self._kinds, dtype=torch.float64, device=self._device))
            self.steps[self._call] += split_KR.sum(1)
            self._call += 1
        if self.samples is not None:
            size = len(self.samples[-1])
            if lead != size:
                reason = f"the first axis has {lead} elements where the batch has {size} samples"
                raise UnfaithfulError(self.place, reason, "Count it without by_sample")
            self.samples[-1] += split_KR.reshape(self._kinds, size, -1).sum(2).T


def together(parts: list[Apart | None]) -> tuple[Table | None, Table | None]:
    """Return the totals of all parts by call and by sample, added place by place; `None` where not kept."""
    known = [part for part in parts if part is not None]
    return _added([p.steps for p in known]), _added([p.samples and list(torch.cat(p.samples)) for p in known])


def _added(parts: list[list[Tensor] | None]) -> Table | None:
    known = [torch.stack(part).cpu().to(torch.int64) for part in parts if part]
    if not known:
        return None
    sums = torch.zeros((max(map(len, known)), known[0].shape[1]), dtype=torch.int64)
    for part in known:
        sums[: len(part)] += part
    return tuple(tuple(row) for row in sums.tolist())
