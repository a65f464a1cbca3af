"""What to call each network of a benchmark: rows, titles and scratch folders take this name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from spikeport.errors import UsageError


def titles(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a name for each network: its folder's or file's; where several share that, with what tells them apart.

    Raises:
        UsageError: one network is named twice, or two cannot be told apart.
    """
    whole = [path.resolve() for path in paths]
    for path, times in Counter(whole).items():
        if times > 1:
            raise UsageError(str(path), f"it is named {times} times, and its rows would be the same", "Name it once")
    shared = {name for name, times in Counter(map(_stem, whole)).items() if times > 1}
    for longer in _LONGER:
        found = tuple(longer(path) if _stem(path) in shared else _stem(path) for path in whole)
        if len(set(found)) == len(found):
            return found
    raise UsageError(", ".join(map(str, paths)), "two of these networks have one name", "Rename one")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".bundle").removesuffix(".nir")


# No slash: it ends a network's name in the id of a row.
_LONGER: tuple[Callable[[Path], str], ...] = (
    lambda path: f"{path.parent.name}-{_stem(path)}",
    lambda path: path.name,
    lambda path: "-".join(path.parts[1:]),
)
