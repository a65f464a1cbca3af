"""Bundles: a folder that holds a network, what it means, and its proof."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.export.graph import ChipGraph
from spikeport.export.manifest import GOLDEN, MANIFEST, ChipSpec, HostSpec, Manifest, read_manifest
from spikeport.export.nir_file import read_nir
from spikeport.export.onnx_files import refuse_external_data
from spikeport.export.stages import ChipStage, HostStage, Stage, StagedNetwork, TensorRegister
from spikeport.files import sha256

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Golden:
    """The bundle's own proof: sample inputs with what the model did on them.

    Attributes:
        inputs: each input tensor [T, B, *shape].
        nodes: for each chip stage, every recorded node [T, B, *shape].
        outputs: each output tensor [T_out, B, *shape].
        tensors: likewise what host stages hand on; none in a bundle of a version that did not keep them.
        hosts: for each host stage with neurons or states, what these show [T, B, *shape]; see `host_state`.
        unit_roundoff: for each chip stage that of the arithmetic which made its recording; float32's where it is
            not said.
    """

    inputs: Arrays
    nodes: Mapping[str, Arrays]
    outputs: Arrays
    tensors: Arrays = field(default_factory=dict)
    hosts: Mapping[str, Arrays] = field(default_factory=dict)
    unit_roundoff: Mapping[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write `golden.npz`."""
        arrays = {f"input/{n}": x for n, x in self.inputs.items()}
        arrays |= {f"node/{s}/{n}": x for s, nodes in self.nodes.items() for n, x in nodes.items()}
        arrays |= {f"output/{n}": x for n, x in self.outputs.items()}
        arrays |= {f"tensor/{n}": x for n, x in self.tensors.items()}
        arrays |= {f"host/{s}/{n}": x for s, values in self.hosts.items() for n, x in values.items()}
        arrays |= {f"unit_roundoff/{s}": np.array(u) for s, u in self.unit_roundoff.items()}
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read `golden.npz`.

        Raises:
            ArtefactError: it is not what `save` writes.
        """
        try:
            return cls._load(path)
        except (OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise ArtefactError(str(path), f"it is no golden recording ({error})", "Export the bundle again") from error

    @classmethod
    def _load(cls, path: Path) -> Golden:
        kinds = ("input", "output", "tensor", "unit_roundoff")
        flat: dict[str, dict[str, NDArray[np.generic]]] = {kind: {} for kind in kinds}
        staged: dict[str, dict[str, dict[str, NDArray[np.generic]]]] = {"node": {}, "host": {}}
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if len(set(file.files)) != len(file.files):
                raise ValueError("an entry stands twice")
            for key in file.files:
                kind, _, rest = key.partition("/")
                if kind in staged:
                    stage, _, place = rest.partition("/")
                    staged[kind].setdefault(stage, {})[place] = file[key]
                elif kind in flat:
                    flat[kind][rest] = file[key]
                else:
                    raise ValueError(f"nothing is called '{key}'")
        roundoff = {stage: float(u) for stage, u in flat["unit_roundoff"].items()}
        return cls(flat["input"], staged["node"], flat["output"], flat["tensor"], staged["host"], roundoff)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; every file has been held against its hash."""

    path: Path
    manifest: Manifest
    network: StagedNetwork

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Open and check the bundle at `path`.

        Raises:
            ArtefactError: a file is missing, is not what the manifest's hash says, or reads others.
        """
        manifest = read_manifest(path / MANIFEST)
        hashes = {stage.file: stage.sha256 for stage in manifest.stages} | {GOLDEN: manifest.golden_sha256}
        for name, expected in hashes.items():
            file = path / name
            if not file.is_file():
                raise ArtefactError(str(file), "the manifest names it and it is not there", "Export the bundle again")
            if (found := sha256(file)) != expected:
                raise ArtefactError(
                    str(file),
                    f"its SHA-256 is {found[:12]}..., the manifest says {expected[:12]}...",
                    "The file was changed after export: export the bundle again",
                )
        stages = tuple(_stage(path, manifest.dt_s, spec) for spec in manifest.stages)
        inputs = {spec.name: spec.shape for spec in manifest.inputs}
        registers = tuple(TensorRegister(spec.tensor, spec.source, spec.shape) for spec in manifest.registers)
        answers = manifest.outputs, manifest.answer
        network = StagedNetwork(manifest.name, manifest.dt_s, inputs, *answers, stages, registers)
        network.check_wiring()
        return cls(path, manifest, network)

    @cached_property
    def sha256(self) -> str:
        """The manifest's hash, which covers all other files through theirs."""
        return sha256(self.path / MANIFEST)

    def golden(self) -> Golden:
        """Return the proof."""
        return Golden.load(self.path / GOLDEN)


def is_bundle(path: Path) -> bool:
    """Return whether `path` looks like a bundle."""
    return (path / MANIFEST).is_file()


def _stage(path: Path, dt_s: float, spec: ChipSpec | HostSpec) -> Stage:
    if isinstance(spec, ChipSpec):
        graph = ChipGraph.from_nir(read_nir(path / spec.file), dt_s, spec.registers)
        return ChipStage(spec.name, graph, spec.inputs, spec.outputs, spec.graded)
    refuse_external_data(path / spec.file)
    return HostStage(
        spec.name,
        path / spec.file,
        spec.form,
        spec.inputs,
        spec.outputs,
        spec.timesteps_out,
        spec.macs_per_call,
        spec.input_elements,
        spec.output_elements,
        spec.not_counted,
        spec.states,
        spec.weights,
    )
