"""Bundles that were changed after export, with every hash put right: only their proof can tell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikeport.files import sha256

Arrays = dict[str, Any]


def copied(bundle: Path, place: Path) -> Path:
    return Path(shutil.copytree(bundle, place / f"{bundle.name}.copy"))


def change_golden(bundle: Path, change: Callable[[Arrays], object]) -> None:
    """Change the arrays of golden.npz in place."""
    with np.load(bundle / "golden.npz") as file:
        arrays = {name: file[name].copy() for name in file.files}
    change(arrays)
    np.savez_compressed(bundle / "golden.npz", **arrays)
    put_hashes_right(bundle)


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((bundle / "manifest.json").read_text())
    change(content)
    (bundle / "manifest.json").write_text(json.dumps(content))


def negate_weights(bundle: Path, file: str = "00_core.nir") -> None:
    with h5py.File(bundle / file, "r+") as nir:
        names: list[str] = []
        nir.visit(names.append)
        (first, *_) = (name for name in names if name.endswith("weight"))
        nir[first][...] = -nir[first][()]
    put_hashes_right(bundle)


def put_hashes_right(bundle: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for stage in manifest["stages"]:
            stage["sha256"] = sha256(bundle / stage["file"])
        manifest["golden_sha256"] = sha256(bundle / "golden.npz")

    change_manifest(bundle, change)
