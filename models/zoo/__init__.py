"""The zoo: small trained bundles that ship with spikeport, by name: `zoo:av-digits` wherever a bundle is taken.

Each lies in `<name>.bundle` beside this file, with a model card, `card.md`, whose front matter sums it up.
`python -m spikeport.benchmarks.zoo_entry RUN` makes one of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spikeport.errors import ArtefactError, UsageError, did_you_mean

FOLDER = Path(__file__).resolve().parent
PREFIX = "zoo:"
SUFFIX = ".bundle"
CARD = "card.md"
MARK = "---\n"


@dataclass(frozen=True)
class Entry:
    """What a bundle's card sums up.

    Attributes:
        name: by which it is used.
        model: its registered model.
        dataset: on whose test part it was scored.
        accuracy: there.
        samples: how many these were.
        bundle_sha256: of the bundle that was scored.
        size_bytes: of all its files.
    """

    name: str
    model: str
    dataset: str
    accuracy: float
    samples: int
    bundle_sha256: str
    size_bytes: int


def zoo_names() -> list[str]:
    """Return the names of the bundles that ship."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


def zoo_path(name: str) -> Path:
    """Return where the bundle of that name lies.

    Raises:
        UsageError: there is none.
    """
    known = zoo_names()
    if name not in known:
        raise UsageError(f"{PREFIX}{name}", "the zoo has no such bundle", did_you_mean(name, known))
    return FOLDER / f"{name}{SUFFIX}"


def located(path: Path) -> Path:
    """Return the folder that `zoo:NAME` stands for; any other path is itself."""
    text = str(path)
    return zoo_path(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else path


def entry(name: str) -> Entry:
    """Return what the card of a bundle says.

    Raises:
        UsageError: there is no such bundle.
        ArtefactError: its card is missing or lacks its front matter.
    """
    folder = zoo_path(name)
    size = sum(file.stat().st_size for file in folder.iterdir())
    try:
        return Entry(**front_matter(folder / CARD), size_bytes=size)
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        reason = f"it does not sum up the bundle ({error})"
        raise ArtefactError(str(folder / CARD), reason, "Install spikeport again") from None


def front_matter(card: Path) -> dict[str, Any]:
    """Return the YAML between the first two marks of a card."""
    before, _, rest = card.read_text(encoding="utf-8").partition(MARK)
    head, mark, _ = rest.partition(MARK)
    found = yaml.safe_load(head)
    if before or not mark or not isinstance(found, dict):
        raise ValueError("it does not begin with front matter")
    return found
