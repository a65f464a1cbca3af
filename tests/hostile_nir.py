"""Attacks on whoever reads a NIR file: each changes a good file, which has nodes `n0` (Affine) and `n1` (LIF)."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np


def external_link(file: h5py.File, other: Path) -> None:
    del file["node/nodes/n0"]
    file["node/nodes/n0"] = h5py.ExternalLink(str(other), "/node/nodes/n0")


def external_root(file: h5py.File, other: Path) -> None:
    del file["node"]
    file["node"] = h5py.ExternalLink(str(other), "/node")


def soft_link(file: h5py.File, other: Path) -> None:
    del file["node/nodes/n0"]
    file["node/nodes/n0"] = h5py.SoftLink("/node/nodes/n1")


def cycle(file: h5py.File, other: Path) -> None:
    file["node/nodes/n0/again"] = file["node"]


def many_paths(file: h5py.File, other: Path) -> None:
    """2^30 paths from 30 groups."""
    last = file["node/nodes/n0"]
    for i in range(30):
        group = file.create_group(f"g{i}")
        group["a"] = group["b"] = last
        last = group
    file["node/nodes/deep"] = last


def deep(file: h5py.File, other: Path) -> None:
    file.create_group("node/nodes/n0/" + "/".join(["x"] * 200))


def huge(file: h5py.File, other: Path) -> None:
    del file["node/nodes/n0/weight"]
    file.create_dataset("node/nodes/n0/weight", shape=(200_000, 200_000), dtype="f8", chunks=(1000, 1000))


def sparse(file: h5py.File, other: Path) -> None:
    """3 GiB that were never written."""
    del file["node/nodes/n0/weight"]
    file.create_dataset("node/nodes/n0/weight", shape=(20_000, 20_000), dtype="f8", chunks=(1000, 1000))


def outside_data(file: h5py.File, other: Path) -> None:
    del file["node/nodes/n0/weight"]
    file.create_dataset("node/nodes/n0/weight", shape=(2, 2), dtype="f8", external=[(str(other), 0, 32)])


def virtual_data(file: h5py.File, other: Path) -> None:
    del file["node/nodes/n0/weight"]
    layout = h5py.VirtualLayout((2, 2), "f8")
    layout[:] = h5py.VirtualSource(str(other), "node/nodes/n0/weight", (2, 2))
    file.create_virtual_dataset("node/nodes/n0/weight", layout)


def repeated_text(file: h5py.File, other: Path) -> None:
    """A million strings that were never written: each is read as the fill value of 1 MB."""
    del file["node/nodes/n1/type"]
    kind = h5py.string_dtype()
    file.create_dataset("node/nodes/n1/type", (1_000_000,), kind, fillvalue="x" * 1_000_000, chunks=(1000,))


def ragged_numbers(file: h5py.File, other: Path) -> None:
    del file["node/nodes/n0/weight"]
    kind = h5py.vlen_dtype(np.float64)
    weight = file.create_dataset("node/nodes/n0/weight", (2,), kind)
    weight[0], weight[1] = np.ones(2), np.ones(3)


def references(file: h5py.File, other: Path) -> None:
    del file["node/nodes/n0/weight"]
    file.create_dataset("node/nodes/n0/weight", (2, 2), h5py.ref_dtype)


def wide_text(file: h5py.File, other: Path) -> None:
    del file["node/nodes/n1/type"]
    file.create_dataset("node/nodes/n1/type", (1,), "S2000000000")


def bare_type(file: h5py.File, other: Path) -> None:
    """A committed datatype, which is neither a group nor data."""
    del file["node/nodes/n0/weight"]
    file["node/nodes/n0/weight"] = np.dtype("f8")


HOSTILE = (
    external_link,
    external_root,
    soft_link,
    cycle,
    many_paths,
    deep,
    huge,
    sparse,
    outside_data,
    virtual_data,
    repeated_text,
    ragged_numbers,
    references,
    wide_text,
    bare_type,
)
