"""What measures energy: a counter of joules that only rises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from spikeport.errors import UnavailableError


class Counter(Protocol):
    """An energy counter, opened and readable.

    Attributes:
        device: whose energy.
        method: how it is read.
        note: what must stand beside the joules.
    """

    device: str
    method: str
    note: str

    def joules(self) -> float:
        """Return the joules since some fixed moment.

        Raises:
            UnavailableError: the counter cannot be read any more, or it fell.
        """
        ...

    def conditions(self) -> Mapping[str, str]:
        """Return what else is known of the device now: temperature, clocks."""
        ...


def open_counter(device: str) -> Counter:
    """Return the counter of `cpu` or `cuda`.

    Raises:
        UnavailableError: there is none that can be read here; the reason is said.
    """
    if device == "cuda":
        from spikeport.benchmarks.measured.nvml import open_nvml

        return open_nvml()
    if device == "cpu":
        from spikeport.benchmarks.measured.rapl import open_rapl

        return open_rapl()
    raise UnavailableError(f"device '{device}'", "no energy counter is known for it", "Measure on cpu or cuda")
