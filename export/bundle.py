"""Bundles: a folder that holds a network, what it means, and its proof."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.export.graph import ChipGraph
from spikeport.export.manifest import ChipSpec, HostSpec, Manifest, read_manifest
from spikeport.export.nir_file import read_nir
from spikeport.export.stages import ChipStage, HostStage, Stage, StagedNetwork, TensorRegister
from spikeport.files import sha256

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Golden:
    """The bundle's own proof: sample inputs with what the model did on them.

    Attributes:
        inputs: each input tensor [T, B, *shape].
        nodes: for each chip stage, every recorded node [T, B, *shape].
        outputs: each output tensor [T_out, B, *shape].
    """

    inputs: Arrays
    nodes: Mapping[str, Arrays]
    outputs: Arrays

    def save(self, path: Path) -> None:
        """Write `golden.npz`."""
        arrays = {f"input/{n}": x for n, x in self.inputs.items()}
        arrays |= {f"node/{s}/{n}": x for s, nodes in self.nodes.items() for n, x in nodes.items()}
        arrays |= {f"output/{n}": x for n, x in self.outputs.items()}
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
            raise ArtefactError(str(path), f"it is not a readable .npz ({error})", "Export the bundle again") from error

    @classmethod
    def _load(cls, path: Path) -> Golden:
        inputs: dict[str, NDArray[np.generic]] = {}
        outputs: dict[str, NDArray[np.generic]] = {}
        nodes: dict[str, dict[str, NDArray[np.generic]]] = {}
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            for key in file.files:
                kind, _, rest = key.partition("/")
                if kind == "node":
                    stage, _, node = rest.partition("/")
                    nodes.setdefault(stage, {})[node] = file[key]
                else:
                    (inputs if kind == "input" else outputs)[rest] = file[key]
        return cls(inputs, nodes, outputs)


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
            ArtefactError: a file is missing, or is not what the manifest's hash says.
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
        network = StagedNetwork(manifest.name, manifest.dt_s, inputs, manifest.outputs, stages, registers)
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
        return ChipStage(spec.name, graph, spec.inputs, spec.outputs)
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
