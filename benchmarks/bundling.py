"""From a run to a bundle: its network, verified on its own validation samples, with its recipe as provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spikeport.benchmarks.l2_deployment import Deployed, deployed
from spikeport.errors import ArtefactError
from spikeport.export.bundle import Bundle
from spikeport.export.network import Description, export_network
from spikeport.files import refuse_existing
from spikeport.models.l2act.treat import How
from spikeport.train.recipe import Recipe, parse_recipe
from spikeport.train.run import Run
from spikeport.train.samples import encoded_inputs, open_dataset


def export_run(
    run: Run,
    out: Path,
    samples: int = 64,
    check: bool = True,
    l2: How | None = None,
    require_coverage: float | None = None,
) -> Bundle:
    """Export what is deployed of `run` to the new folder `out`.

    Args:
        run: a finished training of a spiking network.
        out: a folder that does not exist.
        samples: verify on so many samples of the validation part.
        check: `False` writes unverified, and the manifest says so.
        l2: what becomes of its L2 layer, where it has one, see `spikeport.benchmarks.l2_deployment`.
        require_coverage: the least share of every node's neurons that the samples must exercise.

    Raises:
        UsageError: the run is an ANN's, `out` exists, or there is no such L2 layer.
        UnfaithfulError: the network has no faithful form, or the samples exercise less than is required.
    """
    refuse_existing(out)
    return export_deployed(run, deployed(run, l2), out, samples, check, require_coverage)


def export_deployed(
    run: Run,
    found: Deployed,
    out: Path,
    samples: int = 64,
    check: bool = True,
    require_coverage: float | None = None,
) -> Bundle:
    """Export a network of `run` as it is; the arguments are those of `export_run`."""
    recipe, network = run.recipe, found.network
    part = open_dataset(recipe).split("val").take(slice(samples))
    encoded = encoded_inputs(recipe, part, network.input_names, recipe.data.split_seed)
    encodings = {name: recipe.encodings[name].model_dump(mode="json") for name in network.input_names}
    description = Description(recipe.name, encodings, _provenance(run, found))
    return export_network(network, encoded, recipe.dt_s, out, description, check, require_coverage=require_coverage)


def bundle_recipe(bundle: Bundle) -> Recipe | None:
    """Return the recipe that a bundle was trained by, or `None` where it carries none."""
    stored = bundle.manifest.provenance.get("recipe")
    return None if stored is None else parse_recipe(stored)


def _provenance(run: Run, found: Deployed) -> dict[str, Any]:
    file = run.path / "environment.json"
    try:
        environment = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(str(file), f"it is not readable JSON ({error})", "Train again") from None
    told = {"run": run.path.resolve().name, "recipe": run.recipe.model_dump(mode="json"), "environment": environment}
    return told if found.l2 is None else told | {"l2": found.l2.model_dump(mode="json")}
