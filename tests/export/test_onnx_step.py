"""The spiking network as one ONNX step: the interpreter's spikes under onnxruntime, state in and state out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nir
import numpy as np
import onnx
import onnxruntime
import pytest
from back_nets import cuba_li, looped, random_graph, weight
from export_nets import DT, SINABS, chain, graph, li, lif, sink, source

from spikeport.errors import ArtefactError, UnfaithfulError, UsageError
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.nir_file import read_nir
from spikeport.export.onnx import run_step_onnx, verify_step_onnx, write_step_onnx
from spikeport.export.recording import FLOAT32, FLOAT64

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def drive(chip: ChipGraph, steps: int = 50, batch: int = 3, rate: float = 0.4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {n: (rng.random((steps, batch, *chip.shapes[n])) < rate).astype(float) for n in chip.inputs}


def same(chip: ChipGraph, path: Path, dtype: type, x_TBN: Mapping[str, np.ndarray] | None = None) -> None:
    """Written, run and audited: every neuron node and every output is the interpreter's."""
    x_TBN = x_TBN or drive(chip)
    write_step_onnx(chip, path, dtype=dtype)
    agreement = verify_step_onnx(chip, path, x_TBN)
    assert set(agreement.per_node) == {*chip.neurons, *chip.outputs}
    assert all(n.spikes_reference for n in agreement.per_node.values() if n.spiking)
    recording = run_step_onnx(chip, path, x_TBN)
    assert recording.unit_roundoff == (FLOAT64 if dtype == np.float64 else FLOAT32)
    for name, y in run(chip, x_TBN).nodes.items():
        near = 1e-9 if dtype == np.float64 else 1e-3
        np.testing.assert_allclose(recording.nodes[name], y, rtol=near, atol=near, err_msg=name)


def wide(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(0.2, 1.0, shape)


def cuba_lif(*shape: int) -> nir.CubaLIF:
    return nir.CubaLIF(
        wide(*shape) * 5e-3 + DT, wide(*shape) * 5e-3 + DT, wide(*shape) * 3, wide(*shape) * 0.1, wide(*shape),
        wide(*shape) * -0.2, w_in=wide(*shape) * 2,
    )  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    "neuron",
    [
        lif(5, a=0.1, r=10.0),
        lif(5, a=0.3, r=1.7, leak=0.2, theta=0.4, reset=-0.3),
        nir.IF(np.ones(5), np.full(5, 1.5), np.full(5, 0.2)),
        cuba_lif(5),
        li(5, a=0.2, leak=0.4),
        nir.I(np.full(5, 1 / DT)),
        cuba_li(5),
        nir.Threshold(np.linspace(0, 1, 5)),
    ],
    ids=lambda node: type(node).__name__,
)
def test_every_neuron(neuron: nir.NIRNode, dtype: type, tmp_path: Path) -> None:
    same(chain((4,), nir.Affine(weight(5, 4), weight(5, seed=1)), neuron), tmp_path / "net.onnx", dtype)


def stateless_chain() -> ChipGraph:
    conv = nir.Conv2d((9, 8), weight(4, 1, 3, 2), (2, 1), (1, 0), (1, 2), 2, weight(4, seed=2))
    even = nir.Conv2d((5, 6), weight(4, 4, 2, 3, gain=0.3), 1, "same", 1, 1, np.zeros(4))
    sums = nir.SumPool2d(np.array([3, 2]), np.array([2, 1]), np.array([1, 0]))
    mean = nir.AvgPool2d(np.array([2, 2]), np.array([1, 2]), np.array([0, 1]))
    padded = nir.AvgPool2d(np.array([1, 1]), np.array([1, 1]), np.array([1, 1]))
    flatten = nir.Flatten({"input": np.array([4, 4, 5])}, 0, -1)
    layers = (conv, lif(4, 5, 6), even, sums, lif(4, 3, 5), mean, padded, flatten, nir.Scale(wide(80)))
    return chain((2, 9, 8), *layers, nir.Linear(weight(6, 80)), lif(6))


@BOTH
def test_every_stateless_node(dtype: type, tmp_path: Path) -> None:
    same(stateless_chain(), tmp_path / "net.onnx", dtype)


@BOTH
def test_convolution_in_one_dimension_and_linear_on_a_matrix(dtype: type, tmp_path: Path) -> None:
    conv = nir.Conv1d(12, weight(4, 1, 3), 2, 2, 2, 2, weight(4))
    flatten = nir.Flatten({"input": np.array([4, 3])}, 0, 1)
    chip = chain((2, 12), conv, lif(4, 6), nir.Affine(weight(3, 6), weight(3)), lif(4, 3), flatten)
    same(chip, tmp_path / "net.onnx", dtype)


@BOTH
@pytest.mark.parametrize("late", [("s", "r"), ("r", "m")])
def test_a_soft_reset(late: tuple[str, str], dtype: type, tmp_path: Path) -> None:
    same(looped(li(5, a=0.1, r=10.0), 0.8, -0.8, late=late), tmp_path / "net.onnx", dtype)


@BOTH
@pytest.mark.parametrize("register", [("n", "b"), ("b", "n")])
def test_recurrence_has_its_bias_in_the_first_step(register: tuple[str, str], dtype: type, tmp_path: Path) -> None:
    nodes = {"x": source(5), "n": lif(5, theta=0.3), "b": nir.Affine(weight(5, 5), weight(5, seed=9)), "y": sink(5)}
    chip = graph(nodes, [("x", "n"), ("n", "y"), ("n", "b"), ("b", "n")], [register])
    same(chip, tmp_path / "net.onnx", dtype)
    names = {v.name for v in onnx.load(tmp_path / "net.onnx").graph.input}
    assert ("state_in/started" in names) == (register == ("b", "n"))


@BOTH
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_delays(steps: int, dtype: type, tmp_path: Path) -> None:
    nodes = {"x": source(4), "d": nir.Delay(np.full(4, steps * DT)), "n": lif(4, theta=0.3), "y": sink(4)}
    edges = [("x", "d"), ("d", "n"), ("n", "y")]
    same(graph(nodes, edges), tmp_path / "net.onnx", dtype)
    if steps:
        # The delay closes a loop: it is a register by itself, and its input is evaluated after it.
        back = {"w": nir.Affine(weight(4, 4), weight(4)), "d": nodes["d"]}
        loop = [("x", "n"), ("n", "y"), ("n", "w"), ("w", "d"), ("d", "n")]
        same(graph(nodes | back, loop, []), tmp_path / "loop.onnx", dtype)


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs(seed: int, tmp_path: Path) -> None:
    chip = random_graph(seed)
    write_step_onnx(chip, tmp_path / "net.onnx")
    assert verify_step_onnx(chip, tmp_path / "net.onnx", drive(chip)).exact


def test_a_file_of_another_tool(tmp_path: Path) -> None:
    if not SINABS.exists():
        pytest.skip("no cnn_sinabs.nir here")
    chip = ChipGraph.from_nir(read_nir(SINABS), DT)
    same(chip, tmp_path / "net.onnx", np.float32, drive(chip, 12, 1, 0.3))


def test_the_file_says_what_it_takes_and_nothing_of_where_it_was_made(tmp_path: Path) -> None:
    nodes = {"a": source(4), "n": cuba_lif(4), "d": nir.Delay(np.full(4, 2 * DT)), "y": sink(4), "z": sink(4)}
    chip = graph(nodes, [("a", "n"), ("n", "y"), ("n", "d"), ("d", "z")])
    write_step_onnx(chip, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    assert shapes == {
        "a": ["B", 4],
        "state_in/n/v": ["B", 4],
        "state_in/n/i": ["B", 4],
        "state_in/d/line": ["B", 2, 4],
    }
    states = [n.replace("state_in", "state_out") for n in shapes if n.startswith("state_in")]
    assert {v.name for v in model.graph.output} == {"y", "z", "spikes/n", *states}
    assert {p.key: p.value for p in model.metadata_props} == {"dt_s": "0.001"}
    content = (tmp_path / "net.onnx").read_bytes()
    assert not any(place in content for place in (str(tmp_path).encode(), b"/work", b"/home", b"/tmp", b".py"))
    write_step_onnx(chip, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == content


def test_without_the_neurons_spikes_only_outputs_are_shown(tmp_path: Path) -> None:
    chip = chain((4,), lif(4), nir.Linear(weight(3, 4)), li(3))
    write_step_onnx(chip, tmp_path / "net.onnx", spikes=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    assert {o.name for o in session.get_outputs()} == {"output", "state_out/n0/v", "state_out/n2/v"}
    with pytest.raises(ArtefactError, match="spikes/n0"):
        run_step_onnx(chip, tmp_path / "net.onnx", drive(chip))


def test_another_network_than_the_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    write_step_onnx(chain((4,), lif(4, theta=0.3)), path)
    other = chain((4,), lif(4, theta=0.6))
    with pytest.raises(UnfaithfulError, match="not the network"):
        verify_step_onnx(other, path, drive(other))
    assert audit(other, drive(other), run_step_onnx(other, path, drive(other))).mismatches > 10


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    chip, path = chain((4,), lif(4)), tmp_path / "net.onnx"
    with pytest.raises(UsageError, match="float32 or float64"):
        write_step_onnx(chip, path, dtype=np.float16)
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_step_onnx(chip, path)
    assert path.read_text() == "mine"
    with pytest.raises(ArtefactError, match="cannot load"):
        run_step_onnx(chip, path, drive(chip))
