"""Files of any origin: read within bounds, or an error that names the file."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from export_nets import DT, SINABS, chain, graph, li, lif, sink, source
from hostile_nir import HOSTILE

from spikeport.errors import ArtefactError, SpikeportError, UnfaithfulError, UsageError
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.nir_file import read_nir, write_nir
from spikeport.export.stages import network_of_nir


def every_primitive() -> ChipGraph:
    """One of each that fits in a chain, grouped and non-square convolutions among them."""
    rng = np.random.default_rng(0)
    ones = np.ones(6)
    syn = {"tau_mem": 4 * DT * ones, "tau_syn": 2 * DT * ones, "r": ones, "v_leak": 0 * ones, "w_in": 2 * ones}
    return chain(
        (4, 9, 7),
        nir.Conv2d((9, 7), rng.normal(size=(6, 2, 3, 1)), (2, 1), (1, 0), (1, 2), 2, rng.normal(size=6)),
        lif(6, 5, 7, theta=0.1),
        nir.Conv2d((5, 7), rng.normal(size=(4, 6, 3, 2)), 1, "same", 1, 1, rng.normal(size=4)),
        nir.SumPool2d(np.array([2, 2]), np.array([1, 2]), np.array([0, 1])),
        nir.AvgPool2d(np.array([2, 1]), np.array([2, 1]), np.array([0, 0])),
        nir.Flatten({"input": np.array([4, 2, 4])}, 1, 2),
        nir.Conv1d(8, rng.normal(size=(4, 1, 3)), 2, 1, 1, 4, rng.normal(size=4)),
        nir.Flatten({"input": np.array([4, 4])}, 0, -1),
        nir.Affine(rng.normal(size=(6, 16)), rng.normal(size=6)),
        nir.CubaLIF(**syn, v_threshold=0.2 * ones, v_reset=0 * ones),
        nir.Delay(2 * DT * ones),
        nir.Linear(rng.normal(size=(6, 6))),
        nir.Scale(rng.normal(size=6)),
        nir.CubaLI(**syn),
        nir.Threshold(0.01 * ones),
        nir.IF(r=ones, v_threshold=2 * ones, v_reset=0 * ones),
        nir.I(r=ones),
        li(6),
    )


def test_every_primitive_survives_the_file(tmp_path):
    chip = every_primitive()
    write_nir(tmp_path / "net.nir", chip)
    again = ChipGraph.from_nir(read_nir(tmp_path / "net.nir"), DT)
    assert again.shapes == chip.shapes
    x = np.random.default_rng(1).integers(0, 2, (30, 2, 4, 9, 7)).astype(float)
    ours, theirs = run(chip, {"input": x}).nodes, run(again, {"input": x}).nodes
    assert set(ours) == set(theirs)
    assert all(0 < ours[n].mean() < 1 for n in chip.spiking)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_nir_itself_cannot_read_the_grouped_convolution(tmp_path):
    """Fact: nir 1.0.8 errs on grouped convolutions, so ours reads without its inference."""
    conv = nir.Conv2d((4, 4), np.ones((4, 1, 3, 3)), 1, 1, 1, 4, np.zeros(4))
    write_nir(tmp_path / "grouped.nir", chain((4, 4, 4), conv, lif(4, 4, 4)))
    with pytest.raises(ValueError, match="type"):
        nir.read(tmp_path / "grouped.nir")
    assert ChipGraph.from_nir(read_nir(tmp_path / "grouped.nir"), DT).shapes["n0"] == (4, 4, 4)


def test_nested_graphs_and_loops_survive_the_file(tmp_path):
    nodes = {"input": source(2), "c": lif(2), "back": nir.Affine(-np.eye(2), np.ones(2)), "output": sink(2)}
    edges = [("input", "c"), ("c", "back"), ("back", "c"), ("c", "output")]
    inner = nir.NIRGraph(nodes, edges, type_check=False)
    outer = nir.NIRGraph(
        {"input": source(2), "a": inner, "output": sink(2)}, [("input", "a"), ("a", "output")], type_check=False
    )
    nir.write(tmp_path / "nested.nir", outer)
    chip = ChipGraph.from_nir(read_nir(tmp_path / "nested.nir"), DT)
    assert chip.registers == {("a.c", "a.back")}
    flat = graph(nodes, edges)
    x = np.random.default_rng(0).uniform(0, 2, (20, 1, 2))
    np.testing.assert_array_equal(run(chip, {"input": x}).nodes["a.c"], run(flat, {"input": x}).nodes["c"])


@pytest.mark.skipif(not SINABS.exists(), reason="the shared file is not on this machine")
def test_a_file_of_an_old_version_is_read_and_run():
    network = network_of_nir(SINABS, 1e-4)
    chip = network.chips[0].graph
    assert network.inputs == {"input": (2, 34, 34)}
    with pytest.raises(UsageError, match="--dt"):
        network_of_nir(SINABS, None)
    x = np.random.default_rng(0).random((3, 2, 2, 34, 34)) < 0.2
    out = run(chip, {"input": x.astype(float)}).nodes
    assert out["output"].shape == (3, 2, 10)
    assert sum(out[n].sum() for n in chip.spiking) > 0


def simple(path: Path) -> Path:
    write_nir(path, chain((2,), nir.Affine(np.eye(2), np.zeros(2)), lif(2)))
    return path


def rewrite(path: Path, name: str, **settings) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, **settings)


def test_scalars_and_missing_fields_of_old_files(tmp_path):
    path = simple(tmp_path / "old.nir")
    cell = "node/nodes/n1/"
    for field, value in (("tau", 2 * DT), ("r", 1.0), ("v_leak", 0.0), ("v_threshold", 1.0)):
        rewrite(path, cell + field, data=value)
    with h5py.File(path, "r+") as file:
        del file[cell + "v_reset"]
        del file["version"]
    x = np.full((6, 1, 2), 1.5)
    old = network_of_nir(path, DT).chips[0].graph
    new = network_of_nir(simple(tmp_path / "new.nir"), DT).chips[0].graph
    np.testing.assert_array_equal(run(old, {"input": x}).nodes["n1"], run(new, {"input": x}).nodes["n1"])
    assert run(old, {"input": x}).nodes["n1"].any()


def test_a_cubalif_without_w_in_has_w_in_1(tmp_path):
    o = np.ones(2)
    settings = {"tau_syn": 2 * DT * o, "tau_mem": 4 * DT * o, "r": 4 * o, "v_leak": 0 * o, "v_threshold": o}
    path = tmp_path / "old.nir"
    write_nir(path, chain((2,), nir.CubaLIF(**settings, v_reset=0 * o, w_in=3 * o)))
    x = np.full((12, 1, 2), 1.5)
    heavy = run(network_of_nir(path, DT).chips[0].graph, {"input": x}).nodes["n0"]
    with h5py.File(path, "r+") as file:
        del file["node/nodes/n0/w_in"]
        del file["node/nodes/n0/v_reset"]
    old = run(network_of_nir(path, DT).chips[0].graph, {"input": x}).nodes["n0"]
    new = run(chain((2,), nir.CubaLIF(**settings, v_reset=0 * o, w_in=o)), {"input": x}).nodes["n0"]
    np.testing.assert_array_equal(old, new)
    assert 0 < old.sum() < heavy.sum()


def test_nan_in_a_scalar_field_is_found(tmp_path):
    path = simple(tmp_path / "nan.nir")
    rewrite(path, "node/nodes/n1/r", data=float("nan"))
    with pytest.raises(SpikeportError):
        network_of_nir(path, DT)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, 600, 2000, -1])
def test_truncated_files(tmp_path, size):
    path = simple(tmp_path / "cut.nir")
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(ArtefactError, match=r"cut\.nir"):
        read_nir(path)


def test_foreign_and_missing_files(tmp_path):
    (tmp_path / "text.nir").write_text("not a graph")
    np.savez(tmp_path / "zip.npz", x=np.ones(3))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = np.ones(3)
    with h5py.File(tmp_path / "node_is_data.h5", "w") as file:
        file["node"] = np.ones(3)
    nir.write(tmp_path / "single.nir", lif(3))
    for name in ("text.nir", "zip.npz", "other.h5", "node_is_data.h5", "single.nir", "nothing.nir", "."):
        with pytest.raises(ArtefactError):
            read_nir(tmp_path / name)


@pytest.mark.parametrize("attack", HOSTILE, ids=lambda f: f.__name__)
def test_hostile_files_are_refused_in_bounded_memory(tmp_path, attack):
    other, path = simple(tmp_path / "other.nir"), simple(tmp_path / "hostile.nir")
    with h5py.File(path, "r+") as file:
        attack(file, other)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtefactError, match=r"hostile\.nir"):
        read_nir(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


COMPOUND = np.zeros((2, 2), dtype=[("a", "f8"), ("b", "i4")])
WRONG = {
    "text weight": ("n0/weight", {"data": "one"}),
    "array of text": ("n0/weight", {"data": np.array([[b"a", b"b"], [b"c", b"d"]])}),
    "objects": ("n0/weight", {"data": np.array([["a", "b"], ["c", "d"]], dtype=object), "dtype": h5py.string_dtype()}),
    "compound": ("n0/weight", {"data": COMPOUND}),
    "complex": ("n0/weight", {"data": np.eye(2) * 1j}),
    "empty": ("n0/weight", {"data": h5py.Empty("f8")}),
    "rank 0": ("n0/weight", {"data": 1.0}),
    "another size": ("n1/v_threshold", {"data": np.ones(5)}),
    "number for a type": ("n1/type", {"data": 3}),
    "unknown type": ("n1/type", {"data": b"Teapot"}),
    "a Python name for a type": ("n1/type", {"data": b"__import__"}),
    "text for a shape": ("input/shape", {"data": "wide"}),
    "negative shape": ("input/shape", {"data": np.array([-2])}),
}


@pytest.mark.parametrize(("name", "settings"), WRONG.values(), ids=WRONG.keys())
def test_fields_of_the_wrong_type_are_refused(tmp_path, name, settings):
    path = simple(tmp_path / "wrong.nir")
    rewrite(path, f"node/nodes/{name}", **settings)
    with pytest.raises(SpikeportError):
        network_of_nir(path, DT)


@pytest.mark.parametrize(
    "lost",
    ["node", "node/type", "node/nodes", "node/edges", "node/nodes/n1/type", "node/nodes/n1/tau", "node/nodes/n1"],
)
def test_lost_fields_are_refused(tmp_path, lost):
    path = simple(tmp_path / "lost.nir")
    with h5py.File(path, "r+") as file:
        del file[lost]
    with pytest.raises(SpikeportError):
        network_of_nir(path, DT)


def test_damaged_bytes_never_give_a_raw_error(tmp_path):
    """150 files with 8 random bytes each: read, or refused in one line; never anything else."""
    good = simple(tmp_path / "good.nir")
    content, rng = good.read_bytes(), np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    path = tmp_path / "damaged.nir"
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 8):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            network_of_nir(path, DT)
            outcomes["read"] += 1
        except SpikeportError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 5


def test_writing(tmp_path):
    with pytest.raises(UnfaithfulError, match="'/'"):
        write_nir(tmp_path / "slash.nir", graph({"a/b": source(2), "o": sink(2)}, [("a/b", "o")]))
    assert not list(tmp_path.iterdir())
    path = simple(tmp_path / "a.nir")
    shutil.copy(path, tmp_path / "b.nir")
    assert read_nir(tmp_path / "b.nir").nodes.keys() == {"input", "n0", "n1", "output"}
