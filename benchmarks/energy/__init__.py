"""Energy models: data files with constants, citation and what each leaves out.

A model of one's own is one more YAML file, named on the command line by its path.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from spikeport.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from spikeport.benchmarks.energy.model import EnergyModel

FOLDER = Path(__file__).parent


def available() -> tuple[str, ...]:
    """Return the names of the models that come with spikeport, without reading them."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(name: str | Path) -> EnergyModel:
    """Return the model called `name`, or the one in the YAML file at that path.

    Raises:
        UsageError: there is no such model.
        ArtefactError: the file is not a valid model.
    """
    from spikeport.benchmarks.energy.model import read_model

    if Path(name).suffix in (".yaml", ".yml"):
        return read_model(Path(name))
    if name not in available():
        fix = did_you_mean(str(name), available()) + "; or give a .yaml file"
        raise UsageError(f"energy model '{name}'", "there is no such energy model", fix)
    return read_model(FOLDER / f"{name}.yaml")


def load_all() -> tuple[EnergyModel, ...]:
    """Return every model that comes with spikeport."""
    return tuple(load(name) for name in available())


def with_own(paths: Iterable[Path]) -> tuple[EnergyModel, ...]:
    """Return every model that comes with spikeport, and the user's own in these YAML files.

    Raises:
        UsageError: a path is no YAML file, or a model's name is taken.
        ArtefactError: a file is not a valid model.
    """
    models = {model.name: model for model in load_all()}
    for path in paths:
        if path.suffix not in (".yaml", ".yml"):
            reason = "it is no YAML file; the models that come with spikeport are always shown"
            raise UsageError(f"--energy-model {path}", reason, "Name a .yaml file")
        model = load(path)
        if model.name in models:
            raise UsageError(f"--energy-model {path}", f"there is already a model '{model.name}'", "Rename it")
        models[model.name] = model
    return tuple(models.values())
