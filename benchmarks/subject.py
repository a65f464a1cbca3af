"""A network under the benchmark: a run or a bundle, opened so that rows can be made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from spikeport.benchmarks.bundling import bundle_recipe, export_run
from spikeport.benchmarks.counting.layers import DenseLayer
from spikeport.errors import ArtefactError
from spikeport.export.bundle import Bundle, is_bundle
from spikeport.export.stages import HostStage
from spikeport.models.network import SpikingNetwork
from spikeport.train.datasets import DATASETS
from spikeport.train.recipe import Recipe
from spikeport.train.run import Run, load_run


@dataclass(frozen=True)
class Subject:
    """One network.

    Attributes:
        name: for rows and titles.
        bundle: its bundle; of a run, one made for this benchmark and verified.
        recipe: how it was trained, `None` where it is not known.
        network: the snnTorch network itself, `None` for a bundle.
    """

    name: str
    bundle: Bundle
    recipe: Recipe | None
    network: SpikingNetwork | None

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each input."""
        return self.bundle.network.inputs

    @property
    def timesteps(self) -> int:
        """T."""
        return self.bundle.manifest.timesteps

    @property
    def classes(self) -> int:
        """The number of classes: the dataset's, or the size of the network's answer."""
        if self.recipe is not None:
            return DATASETS.get(self.recipe.data.name).classes
        answer = self.bundle.golden().outputs[self.bundle.network.outputs[0]]
        return prod(answer.shape[2:])

    @property
    def host_layers(self) -> tuple[DenseLayer, ...]:
        """What the host computes around the chip, per sample."""
        stages = [stage for stage in self.bundle.network.stages if isinstance(stage, HostStage)]
        return tuple(self._host_layer(stage) for stage in stages)

    def _host_layer(self, stage: HostStage) -> DenseLayer:
        return DenseLayer(
            name=stage.name,
            kind="linear",
            macs_per_pass=stage.macs_per_call,
            passes=self.timesteps if stage.form == "step" else 1,
            weights=stage.macs_per_call,
            inputs=stage.input_elements,
            outputs=stage.output_elements,
        )


def open_subject(path: Path, scratch: Path, exported: Path | None = None) -> Subject:
    """Open the run or bundle at `path`; a run is exported into the folder `scratch`, unless it is at `exported`.

    Raises:
        ArtefactError: it is neither, or is damaged; or `exported` is another network's.
    """
    name = path.resolve().name.removesuffix(".bundle")
    if is_bundle(path):
        bundle = Bundle.open(path)
        return Subject(name, bundle, bundle_recipe(bundle), None)
    if not path.is_dir():
        reason = "it is neither a run nor a bundle" if path.exists() else "there is no such folder"
        raise ArtefactError(str(path), reason, "Name a folder that `spikeport train` or `export` wrote")
    run: Run = load_run(path)
    bundle = Bundle.open(exported) if exported else export_run(run, scratch / f"{name}.bundle")
    if bundle_recipe(bundle) != run.recipe:
        raise ArtefactError(str(exported), f"it was not exported from {path}", "Export the run again")
    assert isinstance(run.network, SpikingNetwork)
    return Subject(name, bundle, run.recipe, run.network)
