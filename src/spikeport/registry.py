"""A registry of named things that are imported only when one of them is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

from spikeport.errors import UsageError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps a name to an object of type `T`, given directly or as a lazy `"module:attribute"`.

    Listing names imports nothing, so that `spikeport list` and `--help` stay fast.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T | str] = {}

    def register(self, name: str, target: T | str) -> None:
        """Add `name`; a name that is taken is an error, never an override."""
        if name in self._entries:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._entries[name] = target

    def get(self, name: str) -> T:
        """Return the object registered as `name`, importing it on first use."""
        if name not in self._entries:
            fix = did_you_mean(name, self._entries)
            raise UsageError(f"{self.kind} '{name}'", f"there is no such {self.kind}", fix)
        entry: Any = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = getattr(importlib.import_module(module), attribute)
            self._entries[name] = entry
        return cast("T", entry)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries
