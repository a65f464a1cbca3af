# Lava is installed in the isolated environment alone.
# mypy: disable-error-code="import-not-found,unused-ignore"
"""Builds Lava processes from a plan and runs them: `python main.py FOLDER`.

Runs in the isolated environment: Python 3.10 syntax, numpy, scipy and lava-nc only. FOLDER holds `plan.json`,
`arrays.npz`, `run.json` and the inputs; the records of every layer are written beside them. Samples are run
`copies` at a time as independent copies of the network within the same processes (block-diagonal synapses),
and batch after batch in one run, each starting from zero state.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, identity, kron
from scipy.sparse.csgraph import connected_components

Json = dict[str, Any]
Arrays = dict[str, np.ndarray]

PARAMETERS = ("du", "dv", "vth", "reset_by")


def import_lava() -> None:
    """Import lava-nc 0.10.0 on a Python later than its own 3.10.

    There its one dataclass with an unhashable default is refused; made hashable while it is defined, the
    unmodified package works.
    """
    import dataclasses

    original: Any = dataclasses.dataclass

    def hashable(cls: type | None = None, /, **options: bool) -> Any:
        def decorate(target: type) -> Any:
            if target.__name__ == "ByteEncoder":
                options["unsafe_hash"] = True
            return original(target, **options)

        return decorate if cls is None else decorate(cls)

    module: Any = dataclasses
    module.dataclass = hashable
    try:
        import lava.magma.compiler.var_model  # noqa: F401
    finally:
        module.dataclass = original


def show_child_errors() -> None:
    """Let Lava's child processes print what killed them; Lava itself says only that something did."""
    from lava.magma.runtime.message_infrastructure.multiprocessing import SystemProcess

    quiet = SystemProcess.run

    def run(self: Any) -> None:
        target: Callable[..., Any] = self._target

        def loud(*args: Any, **kwargs: Any) -> Any:
            try:
                return target(*args, **kwargs)
            except Exception:
                traceback.print_exc()
                raise

        self._target = loud
        quiet(self)

    SystemProcess.run = run


def run_plan(folder: Path) -> None:
    """Run the plan in `folder`, each of its parts in a run of its own: Lava runs what is joined, and no more."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    plan = json.loads((folder / "plan.json").read_text())
    request = json.loads((folder / "run.json").read_text())
    with np.load(folder / "arrays.npz") as stored:
        arrays = dict(stored)
    for process in build(plan, request, arrays, folder):
        process.run(condition=RunSteps(num_steps=request["steps"]), run_cfg=Loihi2SimCfg(select_tag=plan["tag"]))
        process.stop()


def build(plan: Json, request: Json, arrays: Arrays, folder: Path) -> list[Any]:
    """Make and join all processes; return one of each part."""
    from processes.windowed import FileSource, Shift

    copies = request["copies"]
    made = {}
    for source in plan["sources"]:
        path = str(folder / f"{source['name']}.npy")
        made[source["name"]] = FileSource(shape=(source["size"] * copies,), path=path)
    for layer in plan["layers"]:
        made[layer["name"]] = make_layer(layer, request, arrays, folder)
    for hop in plan["hops"]:
        synapses = make_synapses(hop, copies, arrays)
        out = made[hop["source"]].s_out
        if hop["wait"]:
            shift = Shift(shape=out.shape, steps=hop["wait"])
            out.connect(shift.s_in)
            out = shift.s_out
        out.connect(synapses.s_in)
        synapses.a_out.connect(made[hop["target"]].a_in)
    return [made[part[0]] for part in parts(list(made), plan["hops"])]


def parts(names: list[str], hops: list[Json]) -> list[list[str]]:
    """Return the connected components: the names that hops join, whichever way; a name without a hop is one alone."""
    place = {name: i for i, name in enumerate(names)}
    ends = np.array([(place[hop["source"]], place[hop["target"]]) for hop in hops], dtype=np.int64).reshape(-1, 2)
    joined = csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    count, labels = connected_components(joined, directed=False)
    return [[name for name, label in zip(names, labels, strict=True) if label == part] for part in range(count)]


def make_layer(layer: Json, request: Json, arrays: Arrays, folder: Path) -> Any:
    """Return the process of one layer: Lava's LIF, the one of our own, or a sink."""
    from processes.windowed import OwnLIF, Sink, WindowedLIF

    name, copies = layer["name"], request["copies"]
    size = layer["size"] * copies
    records = {kind: str(folder / f"record-{name}-{kind}.npy") for kind in layer["records"]}
    state = np.dtype(layer["dtype"])
    for kind, path in records.items():
        dtype = np.dtype(np.uint8) if kind == "spikes" else state
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(request["steps"], size)).flush()
    counts = folder / f"counts-{name}.npy"
    np.save(counts, np.zeros(3, dtype=np.int64))
    window = (layer["onset"], request["stop"], request["period"])
    settings = {"shape": (size,), "window": window, "records": records}
    bias = np.tile(arrays[f"bias-{name}"], copies)
    if layer["process"] == "sum":
        return Sink(bias=bias, **settings)
    shared = layer["shared"]
    own = {key: np.tile(arrays[f"{key}-{name}"], copies) for key in PARAMETERS if f"{key}-{name}" in arrays}
    settings |= {"bias_mant": bias, "bias_exp": layer["bias_exp"], "counts": str(counts), **shared, **own}
    if layer["process"] == "LIF":
        return WindowedLIF(**settings)
    return OwnLIF(**{"reset_by": None} | settings)


def make_synapses(hop: Json, copies: int, arrays: Arrays) -> Any:
    """Return the connection process of one hop, block-diagonal over the copies.

    `num_message_bits` only selects the matrix product: the other path selects columns and is far slower.
    """
    from lava.proc.sparse.process import Sparse
    from lava.utils.weightutils import SignMode

    data, indices, indptr = (arrays[f"{part}-{hop['name']}"] for part in ("data", "indices", "indptr"))
    one = csr_matrix((data, indices, indptr), shape=tuple(hop["shape"]))
    weights = csr_matrix(kron(identity(copies, dtype=data.dtype), one, format="csr"), dtype=data.dtype)
    return Sparse(
        weights=weights,
        weight_exp=hop["weight_exp"],
        num_weight_bits=8,
        sign_mode=SignMode.MIXED,
        num_message_bits=hop["message_bits"],
    )


if __name__ == "__main__":
    if sys.version_info >= (3, 11):  # noqa: UP036 - the worker also runs on 3.10, where Lava needs no help
        import_lava()
    show_child_errors()
    run_plan(Path(sys.argv[1]))
