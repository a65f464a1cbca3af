"""Overlays: environments for packages that run on torch, without a second torch.

An overlay holds its own packages, installed without their dependencies, and a `.pth` file that names the folders of
the torch, numpy and nir that run here. Python appends those folders, so that the overlay's own packages come first.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from spikeport.deploy.isolated import Environment
from spikeport.errors import UnavailableError

_FILE = "spikeport_shared.pth"


@dataclass(frozen=True)
class Overlay(Environment):
    """An environment on the running interpreter that shares some of its packages.

    Another version of a shared package, or another place of it, is another overlay.

    Attributes:
        shared: packages that are taken from here, with whatever lies in the same folders.
    """

    shared: tuple[str, ...] = ("torch", "numpy", "nir")

    def whole(self, folder: Path) -> bool:
        """Return whether the interpreter is there, and the `.pth` file as it has to be."""
        if not super().whole(folder):
            return False
        files = list(folder.glob(f"lib/python*/site-packages/{_FILE}"))
        return len(files) == 1 and files[0].read_text("utf-8") == self._lines()

    def identity(self) -> tuple[str, ...]:
        """Return the pins, and version and folder of every shared package.

        Raises:
            UnavailableError: one is not installed here.
        """
        versions = (f"{name}=={importlib.metadata.version(name)}" for name in self.shared)
        return (self.requirements, self._lines(), *versions)

    def furnish(self, folder: Path) -> None:
        """Write the `.pth` file."""
        (place,) = folder.glob("lib/python*/site-packages")
        (place / _FILE).write_text(self._lines(), "utf-8")

    def _lines(self) -> str:
        return "".join(f"{folder}\n" for folder in dict.fromkeys(self._folder(name) for name in self.shared))

    def _folder(self, name: str) -> Path:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise UnavailableError(
                f"environment '{self.name}'", f"it shares {name}, which is not installed here", f"pip install {name}"
            )
        return Path(spec.origin).absolute().parents[1]
