"""From a run to a bundle: its network, verified on its own validation samples, with its recipe as provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spikeport.errors import ArtefactError, UsageError
from spikeport.export.bundle import Bundle
from spikeport.export.network import Description, export_network
from spikeport.models.network import SpikingNetwork
from spikeport.train.recipe import Recipe, parse_recipe
from spikeport.train.run import Run
from spikeport.train.samples import encoded_inputs, open_dataset


def export_run(run: Run, out: Path, samples: int = 64, check: bool = True) -> Bundle:
    """Export the network of `run` to the new folder `out`.

    Args:
        run: a finished training of a spiking network.
        out: a folder that does not exist.
        samples: verify on so many samples of the validation part.
        check: `False` writes unverified, and the manifest says so.

    Raises:
        UsageError: the run is an ANN's, or `out` exists.
        UnfaithfulError: the network has no faithful form.
    """
    recipe, network = run.recipe, run.network
    if not isinstance(network, SpikingNetwork):
        raise UsageError(str(run.path), "it is an ANN's run, and NIR holds spiking networks", "Name the SNN's run")
    part = open_dataset(recipe).split("val").take(slice(samples))
    encoded = encoded_inputs(recipe, part, network.input_names, recipe.data.split_seed)
    encodings = {name: recipe.encodings[name].model_dump(mode="json") for name in network.input_names}
    description = Description(recipe.name, encodings, _provenance(run))
    return export_network(network, encoded, recipe.dt_s, out, description, check)


def bundle_recipe(bundle: Bundle) -> Recipe | None:
    """Return the recipe that a bundle was trained by, or `None` where it carries none."""
    stored = bundle.manifest.provenance.get("recipe")
    return None if stored is None else parse_recipe(stored)


def _provenance(run: Run) -> dict[str, Any]:
    file = run.path / "environment.json"
    try:
        environment = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(str(file), f"it is not readable JSON ({error})", "Train again") from None
    return {"run": run.path.resolve().name, "recipe": run.recipe.model_dump(mode="json"), "environment": environment}
