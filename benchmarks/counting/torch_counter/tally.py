"""Accumulators of one layer, kept on its device.

Shape suffixes: R rows, N elements of one row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from spikeport.benchmarks.counting.torch_counter.accumulators import zeros
from spikeport.benchmarks.counting.torch_counter.apart import Apart
from spikeport.benchmarks.counting.torch_counter.compiled import EXACT_ROWS, Columns, pays
from spikeport.benchmarks.counting.torch_counter.marks import column_sums, is_binary, mark_of
from spikeport.errors import UnfaithfulError

WINDOW = 32
"""Steps whose sums are kept before they are added up."""

_WINDOW_ELEMENTS = 2**20
"""As many elements as a window may hold; a wider layer gets a shorter one."""


class Sums:
    """A map of event counts: float32 while that is exact, then int64.

    Sums are kept as they come and added up a window at a time: an addition a step would cost more than the sum.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.recent = zeros(width, device=device)
        self.total = zeros(width, dtype=torch.int64, device=device)
        self.rows = 0
        self._window = max(1, min(WINDOW, _WINDOW_ELEMENTS // max(width, 1)))
        self._pending: list[Tensor] = []

    def add(self, sums_N: Tensor, rows: int) -> None:
        """Add the column sums of `rows` rows; nobody may change them afterwards."""
        if self.rows + rows >= EXACT_ROWS:
            self.flush()
        if rows >= EXACT_ROWS:
            self.total += sums_N.to(torch.int64)
            return
        self.rows += rows
        self._pending.append(sums_N)
        if len(self._pending) >= self._window:
            self._gather()

    def _gather(self) -> None:
        if self._pending:
            self.recent += self._pending[0] if len(self._pending) == 1 else torch.stack(self._pending).sum(0)
            self._pending.clear()

    def flush(self) -> Tensor:
        """Return the int64 map of all so far."""
        if self.rows:
            self._gather()
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
        device: of the inputs.
        apart: keeps AC and MAC by call and by sample too.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        fan: Callable[[], Tensor],
        device: torch.device,
        apart: Apart | None,
    ) -> None:
        self.name = name
        # A layer without inputs has no rows either, and nothing to count.
        self.width = max(prod(shape), 1)
        self.fan_N = fan().reshape(-1)
        self.rows = 0
        self._device = device
        self.apart = apart
        self._columns = Columns(shape) if device.type == "cpu" and self.apart is None else None

    @cached_property
    def _sums(self) -> tuple[Sums, Sums]:
        """The maps of what no compiled pass counts: of magnitude 1, and graded."""
        return Sums(self.width, self._device), Sums(self.width, self._device)

    @cached_property
    def _fan_wide(self) -> Tensor:
        """The fan-out map on the inputs' device."""
        return self.fan_N.to(self._device, torch.float64)

    def start(self, samples: int) -> None:
        """Begin a batch."""
        if self.apart is not None:
            self.apart.start(samples)

    def add(self, z: Tensor) -> None:
        """Count `z`, of shape [..., *shape]."""
        elements = z.numel()
        rows = elements // self.width
        self.rows += rows
        if self._columns is not None and pays(elements) and self._columns.add(z, rows):
            return
        if z.is_complex():
            raise UnfaithfulError(f"layer '{self.name}'", "its input is complex", "Count networks with real inputs")
        unit, graded = self._sums
        if self.apart is None and (sums_N := self._binary_sums(z, rows)) is not None:
            unit.add(sums_N, rows)
            return
        z_RN = z.detach().reshape(rows, self.width)
        nonzero, other = z_RN.bool(), _not_unit(z_RN)
        if self.apart is not None:
            split_2R = torch.stack([~other, nonzero & other]).double() @ self._fan_wide
            self.apart.add(split_2R, len(z) if z.ndim else 1)
        nonzero_N, other_N = (column_sums(x.to(torch.float32)) for x in (nonzero, other))
        unit.add(rows - other_N, rows)
        graded.add(nonzero_N + (other_N - rows), rows)

    def _binary_sums(self, z: Tensor, rows: int) -> Tensor | None:
        """Return the column sums of zeros and ones; `None` for others, and where asking would wait for a device."""
        known = mark_of(z)
        if known is not None and known.sums is not None and known.sums.numel() == self.width:
            return known.sums
        if known is None and not (z.is_cpu and is_binary(z)):
            return None
        z_RN = z.detach() if z.requires_grad else z
        return column_sums(z_RN if z_RN.ndim == 2 else z_RN.reshape(rows, self.width))

    def totals(self) -> tuple[int, int, int]:
        """Return events, AC and MAC."""
        maps_2N = torch.zeros((2, self.width), dtype=torch.int64) if self._columns is None else self._columns.read()
        if "_sums" in self.__dict__:
            maps_2N = maps_2N + torch.stack([sums.flush().cpu() for sums in self._sums])
        ac, mac = (maps_2N @ self.fan_N).tolist()
        return int(maps_2N.sum()), ac, mac


def _not_unit(z: Tensor) -> Tensor:
    """Return where |z| is not exactly 1.

    The conversion to bool is several times faster than a comparison, and the subtraction exact about 1.
    """
    if z.dtype is torch.bool:
        return ~z
    return (z.abs() - 1).bool()
