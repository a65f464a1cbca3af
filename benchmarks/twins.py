"""Whether an ANN's run is the twin of a spiking network, and what the two do not share.

Samples and noise must be equal. What else differs is told beside every figure that sets the two side by side: a twin
of another seed or of a network without its L2 layer is a comparison that a user may want.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spikeport.benchmarks.subject import Subject
from spikeport.errors import UsageError
from spikeport.models.twin import Twin
from spikeport.train.recipe import Recipe
from spikeport.train.run import Run, load_run
from spikeport.train.samples import model_params

# A twin has these by design: what it is called, that it is an ANN, and which. Its data are checked, not told.
_ITS_OWN = ("name", "kind", "twin", "data")


def open_twins(paths: Sequence[Path]) -> tuple[Run, ...]:
    """Return the runs of ANN twins.

    Raises:
        UsageError: one is a spiking network's, or two are the same kind of twin.
        ArtefactError: one cannot be read.
    """
    runs = tuple(load_run(path) for path in paths)
    for run in runs:
        if not isinstance(run.network, Twin):
            raise UsageError(str(run.path), "it is a spiking network's run", "Train the twin with --set kind=ann")
    if len({run.recipe.twin.kind for run in runs}) != len(runs):
        reason = "two of them are the same kind of twin, so that their rows would have one name"
        raise UsageError("--ann", reason, "Name one run of each kind")
    return runs


def check_twin(twin: Run, subject: Subject) -> None:
    """Raise where `twin` was trained on other data or noise than `subject`."""
    if subject.recipe is None:
        reason = f"'{subject.name}' carries no recipe, so it is not known whether both were trained on the same data"
        raise UsageError(str(twin.path), reason, "Drop --ann, or bench the run or its bundle")
    differs = list(_differing(twin.recipe.data.model_dump(), subject.recipe.data.model_dump(), "data"))
    if differs:
        reason = f"it was trained on other data or noise than '{subject.name}': {'; '.join(differs)}"
        raise UsageError(str(twin.path), reason, "Train both by the same recipe")


def ann_id(twin: Run, subject: Subject) -> str:
    """Return the id of a twin's row: `NAME/ann`, or `NAME/ann-KIND` for any other equivalent."""
    kind = twin.recipe.twin.kind
    return f"{subject.name}/ann" + ("" if kind == "relu" else f"-{kind}")


def unlike(twin: Run, subject: Subject) -> str | None:
    """Return in a sentence what else than being its twin `twin` does not share with `subject`, `None` if nothing."""
    assert subject.recipe is not None
    differs = list(_differing(_told(twin.recipe), _told(subject.recipe), ""))
    return f"not by the spiking network's recipe: {'; '.join(differs)}" if differs else None


def _told(recipe: Recipe) -> dict[str, Any]:
    """Return what decides a training, with every parameter of the model, given or by default."""
    model = {"name": recipe.model.name, "params": model_params(recipe).model_dump()}
    return recipe.model_dump(exclude=set(_ITS_OWN)) | {"model": model}


def _differing(twin: Mapping[str, Any], other: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield `key is A here and B there` for each value that is not the same."""
    for key in dict.fromkeys((*twin, *other)):
        path = f"{prefix}.{key}".lstrip(".")
        a, b = twin.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differing(a, b, path)
        elif a != b:
            yield f"{path} is {_said(a)} for the ANN and {_said(b)} for the spiking network"


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)
