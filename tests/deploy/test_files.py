"""The files of a deployment, read by those they are for: Lava and netx give the engine's spikes, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from deploy_nets import (
    chain,
    convolutions,
    currents,
    delayed,
    inputs,
    lif,
    mlp,
    readout,
    recurrent,
    sink,
    source,
    two_branches,
)
from files_oracle import run_netx, run_script
from scipy.sparse import csr_array

from spikeport.deploy.linear import unroll
from spikeport.deploy.loihi.backend import backend
from spikeport.deploy.loihi.engine import IntegerNetwork, Population, Synapses
from spikeport.deploy.loihi.files.kernels import find_kernels
from spikeport.deploy.loihi.files.network import WrittenNetwork, early_heard, fires_early
from spikeport.deploy.loihi.files.save import save_network, written_network
from spikeport.deploy.loihi.files.script import write_script
from spikeport.deploy.loihi.program import LoihiProgram, integer_network
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph

Net = Callable[[], ChipGraph]


def saved(program: LoihiProgram, folder: Path) -> Path:
    save_network(written_network(program.graph, program.quantised, integer_network(program.quantised)), folder)
    return folder


@pytest.mark.parametrize("make", [two_branches, convolutions, recurrent, currents, delayed, readout])
def test_the_script_is_the_engine_bit_for_bit(make: Net, tmp_path: Path) -> None:
    net = make()
    x = inputs(net, samples=2)
    program = backend.lower(net, x)
    (run := tmp_path / "run").mkdir()
    got = run_script(saved(program, tmp_path), run, x)
    expected = program.run(x).nodes
    read = {x.layer.name for x in program.quantised.layers if x.layer.cell.emits == "value"}
    assert set(got) == {f"spikes/{x.layer.name}" for x in program.quantised.layers} | {f"value/{n}" for n in read}
    for key, values in got.items():
        kind, name = key.split("/")
        if kind == "value" or name not in read:
            np.testing.assert_array_equal(values, expected[name])
            assert np.any(values)


def test_a_graded_input_is_scaled_by_the_script(tmp_path: Path) -> None:
    net = mlp()
    x = {"x": np.random.default_rng(0).normal(size=(10, 2, 20))}
    program = backend.lower(net, x)
    (run := tmp_path / "run").mkdir()
    got = run_script(saved(program, tmp_path), run, x)
    np.testing.assert_array_equal(got["spikes/y"], program.run(x).nodes["y"])


def test_a_saved_program_holds_its_integers_and_says_what_is_missing(tmp_path: Path) -> None:
    net = convolutions()
    program = backend.lower(net, inputs(net))
    program.save(tmp_path)
    names = {"quantisation.json", "network.npz", "network.json", "run_lava.py", "notes.txt"}
    assert {path.name for path in tmp_path.iterdir()} == names
    notes = (tmp_path / "notes.txt").read_text("utf-8").splitlines()
    assert notes[-1].startswith("network.net is not here. node 'l1' (bias ")
    described = json.loads((tmp_path / "network.json").read_text("utf-8"))
    assert [p["onset"] for p in described["populations"]] == [1, 2, 3]
    assert described["synapses"][0]["conv"]["node"] == "c1"
    assert described["synapses"][1]["conv"] is None
    with np.load(tmp_path / "network.npz") as stored:
        arrays = dict(stored)
    network = integer_network(program.quantised)
    for i, synapses in enumerate(network.synapses):
        parts = (arrays[f"synapses{i}.{part}"] for part in ("data", "indices", "indptr"))
        rebuilt = csr_array(tuple(parts), shape=tuple(arrays[f"synapses{i}.shape"]))
        assert (rebuilt != synapses.weight).nnz == 0
    assert arrays["synapses0.kernels"].shape == (4, 1, 3, 2)


def plain(*names: str) -> ChipGraph:
    """A chain that a .net can say."""
    g = np.random.default_rng(0)
    return chain(
        x=source(2, 9, 8),
        c=nir.Conv2d((9, 8), g.normal(size=(4, 2, 3, 3)), 2, 1, 1, 1, np.zeros(4)),
        l1=lif(4, 5, 4),
        f=nir.Flatten({"input": np.array([4, 5, 4])}, 0, -1),
        w=nir.Linear(g.normal(size=(7, 80)) * 0.4),
        y=lif(7),
        out=sink(7),
    )


def test_a_network_without_biases_is_also_a_net(tmp_path: Path) -> None:
    net = plain()
    x = inputs(net, timesteps=30, samples=1)
    program = backend.lower(net, x)
    program.save(tmp_path)
    assert (
        "network.net: lava.lib.dl.netx.hdf5.Network(net_config='network.net')" in (tmp_path / "notes.txt").read_text()
    )
    with h5py.File(tmp_path / "network.net") as file:
        kinds = [file[f"layer/{i}/type"][0].decode() for i in range(len(file["layer"]))]
    assert kinds == ["input", "conv", "flatten", "dense"]
    (run := tmp_path / "run").mkdir()
    layers = run_netx(tmp_path / "network.net", run, x["x"][:, 0].astype(np.int64), 32)
    expected = program.run(x).nodes
    np.testing.assert_array_equal(layers[0].reshape(32, 4, 5, 4), expected["l1"][:, 0])
    np.testing.assert_array_equal(layers[1], expected["y"][:, 0])
    assert expected["y"].any()


def test_what_lava_has_no_process_for_gets_no_script(tmp_path: Path) -> None:
    population = Population("n", (2,), 4095, 0, 10, np.zeros(2, np.int32))
    synapses = Synapses("x", "n", csr_array(np.eye(2, dtype=np.int32) * 2))

    def with_neuron(**change: object) -> WrittenNetwork:
        return WrittenNetwork(IntegerNetwork({"x": (2,)}, (replace(population, **change),), (synapses,)))  # type: ignore[arg-type]

    for change, message in (
        (
            {"reset": "subtract", "reset_by": 700},
            r"node 'n' .reset by subtraction of 700.*Lava's fixed-point LIF resets",
        ),
        ({"reset": "subtract"}, r"node 'n' .no reset.*Lava's fixed-point LIF resets to 0"),
        (
            {"du": np.array([7, 9], np.int32), "vth_mant": np.array([5, 3], np.int32)},
            r"node 'n' .du 7 to 9, vth_mant 3 to 5.*shares them between its neurons.*backend 'lava-fixed'",
        ),
        ({"refractory": 2}, r"node 'n' .refractory 2.*has no refractory period"),
    ):
        with pytest.raises(UnfaithfulError, match=message):
            write_script(with_neuron(**change), tmp_path / "run_lava.py")
    save_network(with_neuron(reset="subtract", reset_by=700), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"network.npz", "network.json", "notes.txt"}
    notes = (tmp_path / "notes.txt").read_text("utf-8")
    assert "run_lava.py is not here. node 'n' (reset by subtraction of 700)" in notes
    assert "network.net is not here. node 'n' (reset by subtraction of 700)" in notes
    (described,) = json.loads((tmp_path / "network.json").read_text("utf-8"))["populations"]
    assert (described["reset"], described["reset_by"]) == ("subtract", 700)
    taken = np.array([700, 70], np.int32)
    save_network(with_neuron(reset="subtract", reset_by=taken), tmp_path)
    assert "node 'n' (reset by subtraction of 70 to 700)" in (tmp_path / "notes.txt").read_text("utf-8")
    (described,) = json.loads((tmp_path / "network.json").read_text("utf-8"))["populations"]
    assert described["reset_by"] is None
    with np.load(tmp_path / "network.npz") as arrays:
        np.testing.assert_array_equal(arrays["population0.reset_by"], taken)
    write_script(with_neuron(), tmp_path / "run_lava.py")
    odd = replace(synapses, weight=csr_array(np.array([[3, -5], [1, 1]])))
    with pytest.raises(UnfaithfulError, match=r"synapses from 'x' to 'n' .weights -5 to 3.*mixed 8-bit.*even"):
        write_script(WrittenNetwork(IntegerNetwork({"x": (2,)}, (population,), (odd,))), tmp_path / "run_lava.py")


def test_spikes_from_before_a_first_step_are_found_where_they_would_be_heard() -> None:
    biased = Population("n", (2,), 4095, 0, 1, np.full(2, 4000, np.int32), onset=3)
    into = Synapses("x", "n", csr_array(np.eye(2, dtype=np.int32) * 2), wait=2)
    back = Synapses("n", "n", csr_array(np.eye(2, dtype=np.int32) * 2))
    heard = IntegerNetwork({"x": (2,)}, (biased,), (into, back))
    assert fires_early(heard) == {"n"}
    assert early_heard(heard) is not None
    assert early_heard(replace(heard, synapses=(into,))) is None
    quiet = replace(biased, bias_mant=np.full(2, 10, np.int32))
    assert early_heard(replace(heard, populations=(quiet,))) is None


def test_a_matrix_is_only_a_convolution_where_every_tap_agrees() -> None:
    net = plain()
    program = backend.lower(net, inputs(net))
    network = integer_network(program.quantised)
    weight = network.synapses[0].weight
    found = find_kernels(net, "x", "l1", weight)
    assert found is not None
    pads = ((1, 1), (1, 1))
    again = unroll(found.weight.astype(float), 1, (2, 2), (1, 1), pads, (2, 9, 8), (4, 5, 4))
    assert (again != weight).nnz == 0
    other = weight.copy()
    other.data[5] += 2
    assert find_kernels(net, "x", "l1", other) is None
    assert find_kernels(net, "l1", "y", network.synapses[1].weight) is None
