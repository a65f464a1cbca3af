"""Joules of torch networks: of a benchmark's rows, at batch 1 and at a throughput batch.

Inputs are encoded, loaded and on the device before a window begins: preprocessing is not in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikeport.benchmarks.blocks import Measured
from spikeport.benchmarks.measured.counter import Counter, open_counter
from spikeport.benchmarks.measured.windows import Plan, Work, measure
from spikeport.benchmarks.results import NEVER_RAN, Row
from spikeport.errors import UnavailableError
from spikeport.models.network import SpikingNetwork

BATCHES = (1, 256)
NOT_TORCH = "joules are measured of the ANN and of the snnTorch network; this backend's simulator is not metered"


@dataclass(frozen=True)
class Meter:
    """A counter, or the reason why there is none.

    Attributes:
        device: "cpu" or "cuda".
        counter: `None` where it cannot be read.
        reason: why not.
        plan: how to measure.
        batches: at which batch sizes; the first is the row's `measured`.
    """

    device: str
    counter: Counter | None
    reason: str
    plan: Plan
    batches: Sequence[int] = BATCHES

    @classmethod
    def open(cls, device: str, plan: Plan, batches: Sequence[int] = BATCHES) -> Meter:
        """Return the meter of `device`; without a counter it says why in every row."""
        try:
            return cls(device, open_counter(device), "", plan, batches)
        except UnavailableError as error:
            return cls(device, None, str(error), plan, batches)

    def metered(self, row: Row, network: nn.Module, inputs: Mapping[str, Tensor]) -> Row:
        """Return `row` with the joules per sample of `network` on the first of `inputs`, or with the reason."""
        try:
            found = self.joules(network, inputs)
        except UnavailableError as error:
            return self._without(row, f"unavailable: {error}")
        missing = {figure: why for figure, why in row.missing.items() if figure != "measured"}
        changes = {"measured": found[0], "measured_also": found[1:], "missing": missing}
        return row.model_copy(update=changes)

    def not_metered(self, row: Row) -> Row:
        """Return the row of a backend, which says why there are no joules."""
        return row if row.status in NEVER_RAN else self._without(row, NOT_TORCH)

    def joules(self, network: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Measured, ...]:
        """Return the joules per sample, one figure for each batch size that the samples fill.

        Raises:
            UnavailableError: there is no counter, or it fails.
        """
        if self.counter is None:
            raise UnavailableError("no energy counter", self.reason, "")
        axis = 1 if isinstance(network, SpikingNetwork) else 0
        samples = next(iter(inputs.values())).shape[axis]
        sizes = dict.fromkeys(min(batch, samples) for batch in self.batches)
        return tuple(self._one(network, inputs, axis, size) for size in sizes)

    def _one(self, network: nn.Module, inputs: Mapping[str, Tensor], axis: int, batch: int) -> Measured:
        assert self.counter is not None
        some = {name: x.narrow(axis, 0, batch).contiguous() for name, x in inputs.items()}
        with torch.no_grad():
            return measure(Work(lambda: network(some), self.settle, batch), self.counter, self.plan)

    def settle(self) -> None:
        """Wait until the device has done what was queued."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _without(self, row: Row, reason: str) -> Row:
        return row.model_copy(update={"missing": row.missing | {"measured": reason}})
