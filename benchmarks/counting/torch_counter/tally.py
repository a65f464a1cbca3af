"""Accumulators of one layer, kept on its device.

Shape suffixes: R rows, N elements of one row.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from spikeport.benchmarks.counting.torch_counter.marks import EXACT_ROWS, Mark, column_sums, mark_of
from spikeport.errors import UnfaithfulError


class Sums:
    """A map of event counts: float32 while that is exact, then int64.

    Adding float32 to float32 is the cheapest operation that a step can do.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.recent = torch.zeros(width, device=device)
        self.total = torch.zeros(width, dtype=torch.int64, device=device)
        self.rows = 0

    def add(self, sums_N: Tensor, rows: int) -> None:
        """Add the column sums of `rows` rows."""
        if self.rows + rows >= EXACT_ROWS:
            self.flush()
        if rows >= EXACT_ROWS:
            self.total += sums_N.to(torch.int64)
            return
        self.recent += sums_N
        self.rows += rows

    def flush(self) -> Tensor:
        """Return the int64 map of all so far."""
        self.total += self.recent.to(torch.int64)
        self.recent.zero_()
        self.rows = 0
        return self.total


class Tally:
    """Counts the elements of one layer's inputs by position: of magnitude 1, and graded.

    Args:
        name: the layer's.
        shape: of one row.
        fan: makes the fan-out map of that shape, int64; called once.
        weights: stored weights and how many are 0.
        device: of the inputs.
        by_step: keep totals by call.
        by_sample: keep totals by sample.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        fan: Callable[[], Tensor],
        weights: tuple[int, int],
        device: torch.device,
        by_step: bool,
        by_sample: bool,
    ) -> None:
        self.name = name
        self.width = prod(shape)
        self.fan_N = fan().reshape(-1)
        self.weights, self.zero_weights = weights
        self.rows = 0
        self.unit = Sums(self.width, device)
        self.graded = Sums(self.width, device)
        self.steps: list[Tensor] | None = [] if by_step else None
        self.samples: list[Tensor] | None = [] if by_sample else None
        self._call = 0
        self._fan_wide = self.fan_N.to(device, torch.float64) if by_step or by_sample else None

    def start(self, samples: int) -> None:
        """Begin a batch."""
        self._call = 0
        if self.samples is not None:
            self.samples.append(torch.zeros((samples, 2), dtype=torch.float64, device=self.unit.total.device))

    def add(self, z: Tensor) -> None:
        """Count `z`, of shape [..., *shape]."""
        mark = mark_of(z)
        rows = z.numel() // self.width
        self.rows += rows
        if mark is not None and self._fan_wide is None:
            self.unit.add(_sums(z, mark, rows, self.width), rows)
            return
        z_RN = z.detach().reshape(rows, self.width)
        nonzero, other = z_RN.bool(), _not_unit(z_RN)
        if self._fan_wide is not None:
            self._detail(nonzero, other, len(z) if z.ndim else 1)
        nonzero_N, other_N = (column_sums(x.to(torch.float32)) for x in (nonzero, other))
        self.unit.add(rows - other_N, rows)
        self.graded.add(nonzero_N + (other_N - rows), rows)

    def _detail(self, nonzero: Tensor, other: Tensor, lead: int) -> None:
        """Add this call's operations by call and by sample."""
        assert self._fan_wide is not None
        split = torch.stack([~other, nonzero & other]).double() @ self._fan_wide
        if self.steps is not None:
            if self._call == len(self.steps):
                self.steps.append(torch.zeros(2, dtype=torch.float64, device=split.device))
            self.steps[self._call] += split.sum(1)
            self._call += 1
        if self.samples is not None:
            size = len(self.samples[-1])
            if lead != size:
                reason = f"its input's first axis has {lead} elements where the batch has {size} samples"
                raise UnfaithfulError(f"layer '{self.name}'", reason, "Count it without by_sample")
            self.samples[-1] += split.reshape(2, size, -1).sum(2).T

    def totals(self) -> tuple[int, int, int]:
        """Return events, AC and MAC."""
        unit, graded = self.unit.flush().cpu(), self.graded.flush().cpu()
        events = int(unit.sum() + graded.sum())
        return events, int((unit * self.fan_N).sum()), int((graded * self.fan_N).sum())


def _sums(z: Tensor, mark: Mark, rows: int, width: int) -> Tensor:
    if mark.sums is not None and mark.sums.numel() == width:
        return mark.sums
    return column_sums(z.detach().reshape(rows, width))


def _not_unit(z: Tensor) -> Tensor:
    """Return where |z| is not exactly 1.

    The conversion to bool is several times faster than a comparison, and the subtraction exact about 1.
    """
    if z.dtype is torch.bool:
        return ~z
    return (z.abs() - 1).bool()
