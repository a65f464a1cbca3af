"""Reading `.nir` files of any origin, within bounds; writing ours.

A `.nir` file is HDF5 from anywhere: before nir parses it, its tree is walked, so that links out of the file, cycles
of groups and absurd sizes are refused instead of followed.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import nir
import numpy as np

from spikeport.errors import ArtefactError, UnfaithfulError
from spikeport.export.graph import ChipGraph

MAX_BYTES = 4 << 30
SMALL_BYTES = 64 << 20
# Deflate packs at most 1032 to 1; a file that declares more holds data that were never written.
MAX_COMPRESSION = 1032
MAX_OBJECTS = 200_000
MAX_DEPTH = 40


def read_nir(path: Path) -> nir.NIRGraph:
    """Read a NIR graph.

    Raises:
        ArtefactError: the file is missing, not HDF5, not NIR, or hostile.
    """
    if not path.is_file():
        raise ArtefactError(str(path), "there is no such file", "Check the path")
    try:
        with h5py.File(path, "r") as file:
            _walk(path, file["/"])
            if not isinstance(file.get("node"), h5py.Group):
                raise ArtefactError(str(path), "it is HDF5 but not NIR: it has no 'node'", "Export it with nir.write")
        graph = nir.read(path, type_check=False)
    except OSError as error:
        raise ArtefactError(str(path), f"it is not a readable HDF5 file ({error})", "Export it again") from error
    except (ValueError, LookupError, TypeError, AssertionError, AttributeError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(
            str(path), f"nir {nir.version} cannot read it ({type(error).__name__}: {error})", "Export it again"
        ) from error
    if not isinstance(graph, nir.NIRGraph):
        raise ArtefactError(str(path), f"it holds a single {type(graph).__name__}, not a graph", "Export a graph")
    return graph


def write_nir(path: Path, graph: ChipGraph) -> None:
    """Write `graph`; its time step and registers belong into the manifest."""
    if bad := [name for name in graph.nodes if "/" in name]:
        raise UnfaithfulError(f"node '{bad[0]}'", "a NIR file cannot hold '/' in a name", "Rename it")
    nir.write(path, graph.to_nir())


def _walk(path: Path, root: h5py.Group) -> None:
    stack: list[tuple[h5py.Group, int]] = [(root, 0)]
    seen: set[object] = set()
    limit = min(MAX_BYTES, max(SMALL_BYTES, MAX_COMPRESSION * path.stat().st_size))
    objects, size = 0, 0
    while stack:
        group, depth = stack.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen or depth > MAX_DEPTH:
            raise ArtefactError(
                f"{path}:{group.name}", "its groups contain themselves, or one another twice", "Export it again"
            )
        seen.add(address)
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ArtefactError(f"{path}:{group.name}/{key}", "it links out of its place", "Export it again")
            child = group[key]
            objects += 1
            if isinstance(child, h5py.Group):
                stack.append((child, depth + 1))
            elif isinstance(child, h5py.Dataset):
                size += _declared_bytes(path, child)
            if size > limit or objects > MAX_OBJECTS:
                raise ArtefactError(
                    f"{path}:{group.name}/{key}",
                    f"it declares over {size >> 20} MiB in {objects} objects, the limit is {limit >> 20} MiB",
                    "Split the network",
                )


def _declared_bytes(path: Path, data: h5py.Dataset) -> int:
    """Return how much memory reading `data` takes, or refuse what no NIR file holds."""
    if data.external or data.is_virtual:
        raise ArtefactError(f"{path}:{data.name}", "its data lie in another file", "Export it again")
    if data.dtype.kind not in "biufcSO" or (data.dtype.kind == "O" and h5py.check_string_dtype(data.dtype) is None):
        raise ArtefactError(
            f"{path}:{data.name}", f"it is of type {data.dtype}, not numbers or text", "Export it again"
        )
    count = data.size or 0
    if data.dtype.kind != "O":
        return int(count * data.dtype.itemsize)
    return _text_bytes(path, data) if count else 0


def _text_bytes(path: Path, data: h5py.Dataset) -> int:
    """Add up texts of any length, reading one at a time: a small file may hold one long text a million times."""
    size = 0
    for seen, index in enumerate(np.ndindex(data.shape)):
        size += len(data[index])
        if size > SMALL_BYTES or seen > MAX_OBJECTS:
            reason = f"it declares over {size >> 20} MiB of text in {data.size} pieces"
            raise ArtefactError(f"{path}:{data.name}", reason, "Export it again")
    return size
