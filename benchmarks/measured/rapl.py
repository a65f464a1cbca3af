"""RAPL: the energy counters of Intel and AMD CPU packages, as Linux shows them.

`/sys/class/powercap/intel-rapl:N/energy_uj` counts microjoules of package N and wraps at `max_energy_range_uj`.
Since Linux 5.10 it is readable by root only (CVE-2020-8694), and virtual machines mostly have none.

Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from spikeport.errors import UnavailableError

POWERCAP = Path("/sys/class/powercap")
NOTE = (
    "The package of a CPU that simulates the network, with all else that runs on it: these joules say nothing about "
    "neuromorphic hardware."
)
# Beside packages there may be "psys", the whole machine with its packages.
_ZONE = re.compile(r"^[a-z-]*rapl:\d+$")


class _Zone:
    """One package's counter, unwrapped."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "energy_uj"
        self.name = _text(folder / "name")
        self.range_uj = _number(folder / "max_energy_range_uj")
        self.last_uj = _number(self.file)
        self.total_uj = 0

    def read_uj(self) -> int:
        """Return the microjoules since opening. One wrap between two readings is seen; they are seconds apart."""
        now = _number(self.file)
        step = now - self.last_uj
        if step < 0:
            step += self.range_uj
        if step < 0:
            reason = f"it fell from {self.last_uj} to {now}, by more than its range of {self.range_uj}"
            raise UnavailableError(str(self.file), reason, "Measure on another machine")
        self.last_uj = now
        self.total_uj += step
        return self.total_uj


class RaplCounter:
    """The sum of all packages."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._zones = [_Zone(folder) for folder in folders]
        self.device = "CPU, " + " and ".join(zone.name for zone in self._zones)
        self.method = "RAPL (powercap energy_uj)"
        self.note = NOTE

    def joules(self) -> float:
        """Return the joules of all packages since opening."""
        return sum(zone.read_uj() for zone in self._zones) * 1e-6

    def conditions(self) -> Mapping[str, str]:
        """RAPL tells nothing else."""
        return {}


def open_rapl(root: Path = POWERCAP) -> RaplCounter:
    """Return the counter of this machine's CPU packages.

    Raises:
        UnavailableError: there is none, or it may not be read.
    """
    zones = sorted(p for p in root.glob("*") if _ZONE.match(p.name)) if root.is_dir() else []
    packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
    if not packages:
        reason = "Linux shows no RAPL package there (a virtual machine, another CPU, or no powercap driver)"
        raise UnavailableError(str(root), reason, "Measure on a machine that has one")
    return RaplCounter(packages)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except PermissionError:
        fix = "Let an administrator make energy_uj readable, or run as root"
        raise UnavailableError(str(file), "it may not be read (permission denied)", fix) from None
    except OSError as error:
        raise UnavailableError(str(file), f"it cannot be read ({error.strerror})", "Measure elsewhere") from None


def _number(file: Path) -> int:
    text = _text(file)
    if not text.isdigit():
        raise UnavailableError(str(file), f"it holds '{text}', no number", "Measure elsewhere")
    return int(text)
