"""A network under the benchmark: a run, a bundle or a bare NIR file, opened so that rows can be made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from spikeport.benchmarks.bundling import bundle_recipe, export_run
from spikeport.benchmarks.counting.layers import DenseLayer
from spikeport.benchmarks.l2_deployment import held_by, recorded
from spikeport.deploy.proof import prove
from spikeport.errors import ArtefactError
from spikeport.export.bundle import Bundle, is_bundle
from spikeport.export.graph import Edge, IfStep
from spikeport.export.onnx_macs import zero_weights
from spikeport.export.stages import HostStage, StagedNetwork, network_of_nir
from spikeport.files import sha256
from spikeport.models.l2act.treat import Treatment
from spikeport.models.network import SpikingNetwork
from spikeport.train.datasets import DATASETS
from spikeport.train.recipe import Recipe
from spikeport.train.run import Run, load_run


@dataclass(frozen=True)
class NirReading:
    """What a bare `.nir` file leaves open and the user says: see `ChipGraph`."""

    dt_s: float | None = None
    registers: Sequence[Edge] | None = None
    if_step: IfStep | None = None


@dataclass(frozen=True)
class Subject:
    """One network.

    Attributes:
        name: for rows and titles.
        staged: the network that backends run.
        sha256: of the bundle's manifest, or of the bare file.
        timesteps: T, `None` for a bare file: its samples decide.
        classes: the number of classes: the dataset's, or the size of the network's answer.
        recipe: how it was trained, `None` where it is not known.
        network: the snnTorch network itself, in the form that is deployed, `None` for a bundle or a file.
        trained: the network as it was trained, where what is deployed computes something else.
        l2: what became of its L2 layer, where it had one.
    """

    name: str
    staged: StagedNetwork
    sha256: str
    timesteps: int | None
    classes: int
    recipe: Recipe | None = None
    network: SpikingNetwork | None = None
    trained: SpikingNetwork | None = None
    l2: Treatment | None = None

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each input."""
        return self.staged.inputs

    def host_layers(self, timesteps: int) -> tuple[DenseLayer, ...]:
        """Return what the host computes around the chip, per sample."""
        stages = [stage for stage in self.staged.stages if isinstance(stage, HostStage)]
        return tuple(_host_layer(stage, timesteps) for stage in stages)


def _host_layer(stage: HostStage, timesteps: int) -> DenseLayer:
    return DenseLayer(
        name=stage.name,
        kind="linear",
        macs_per_pass=stage.macs_per_call,
        passes=timesteps if stage.form == "step" else 1,
        weights=stage.macs_per_call if stage.weights is None else stage.weights,
        zero_weights=None if stage.weights is None else zero_weights(stage.path),
        inputs=stage.input_elements,
        outputs=stage.output_elements,
        not_counted=stage.not_counted,
    )


def open_subject(
    path: Path,
    scratch: Path,
    exported: Path | None = None,
    reading: NirReading | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Subject:
    """Open the run, bundle or NIR file at `path`; a bundle is held against its proof.

    Args:
        path: of the network.
        scratch: a folder into which a run is exported, unless it is at `exported`.
        exported: the bundle of the run at `path`.
        reading: what a bare file leaves open.
        progress: told what runs.

    Raises:
        ArtefactError: it is none of these, is damaged, or is not its own proof; or `exported` is another network's.
    """
    name = path.resolve().name.removesuffix(".bundle").removesuffix(".nir")
    if path.is_file():
        return _open_nir(name, path, reading or NirReading())
    if is_bundle(path):
        bundle = Bundle.open(path)
        prove(bundle, progress)
        return of_bundle(name, bundle)
    if not path.is_dir():
        fix = "Name a folder that `spikeport train` or `export` wrote, or a .nir file"
        raise ArtefactError(str(path), "there is no such run, bundle or file", fix)
    run: Run = load_run(path)
    bundle = Bundle.open(exported) if exported else export_run(run, scratch / f"{name}.bundle")
    if exported:
        prove(bundle, progress)
    if bundle_recipe(bundle) != run.recipe:
        raise ArtefactError(str(exported), f"it was not exported from {path}", "Export the run again")
    assert isinstance(run.network, SpikingNetwork)
    subject = of_bundle(name, bundle)
    trained = run.network if subject.l2 in ("drop", "constant") else None
    return replace(subject, network=held_by(bundle, run), trained=trained)


def of_bundle(name: str, bundle: Bundle) -> Subject:
    """Return the network of a bundle, without its snnTorch network."""
    recipe = bundle_recipe(bundle)
    if recipe is not None:
        classes = DATASETS.get(recipe.data.name).classes
    else:
        classes = prod(bundle.golden().outputs[bundle.network.answer].shape[2:])
    record = recorded(bundle)
    treatment = None if record is None else record.treatment
    return Subject(name, bundle.network, bundle.sha256, bundle.manifest.timesteps, classes, recipe, l2=treatment)


def _open_nir(name: str, path: Path, reading: NirReading) -> Subject:
    registers = None if reading.registers is None else list(reading.registers)
    staged = network_of_nir(path, reading.dt_s, registers, reading.if_step)
    (stage,) = staged.chips
    return Subject(name, staged, sha256(path), None, prod(stage.graph.shapes[staged.answer]))
