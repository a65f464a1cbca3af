"""norse's `braille.nir`, a recurrent network that this project did not write, and a generated one of its kind.

The file comes with norse's package, so it is there once the norse backend has run; it is not ours to ship.
"""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from spikeport.cli import main
from spikeport.deploy.isolated import cache_root
from spikeport.errors import UnfaithfulError
from spikeport.export.interpreter import run
from spikeport.export.nir_file import read_nir
from spikeport.export.stages import network_of_nir

DT = 1e-4
PLACE = "norse-*/lib/python3*/site-packages/norse/torch/utils/test/braille.nir"


def cuba(n: int, tau_syn: float, tau_mem: float) -> nir.CubaLIF:
    """As snnTorch writes it: w_in = tau_syn/dt and r = tau_mem/dt."""
    o = np.ones(n)
    gains = {"r": o * tau_mem / DT, "w_in": o * tau_syn / DT}
    return nir.CubaLIF(tau_syn=o * tau_syn, tau_mem=o * tau_mem, v_leak=0 * o, v_threshold=o, v_reset=0 * o, **gains)


def affine(rng: np.random.Generator, outputs: int, inputs: int) -> nir.Affine:
    return nir.Affine(rng.normal(size=(outputs, inputs)) / np.sqrt(inputs), rng.normal(size=outputs) / 10)


def generated(path: Path) -> Path:
    """12 -> 38 (recurrent, nested) -> 7, with braille.nir's names and time constants."""
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([12])}),
        "fc1": affine(rng, 38, 12),
        "lif1.lif": cuba(38, 2.2e-4, 1e-3),
        "lif1.w_rec": affine(rng, 38, 38),
        "fc2": affine(rng, 7, 38),
        "lif2": cuba(7, 2e-4, 2.2e-4),
        "output": nir.Output({"output": np.array([7])}),
    }
    edges = [("input", "fc1"), ("fc1", "lif1.lif"), ("lif1.lif", "lif1.w_rec"), ("lif1.w_rec", "lif1.lif")]
    edges += [("lif1.lif", "fc2"), ("fc2", "lif2"), ("lif2", "output")]
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    return path


@pytest.fixture(params=["norse's", "generated"])
def braille(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "generated":
        return generated(tmp_path / "braille.nir")
    found = sorted(cache_root().glob(PLACE))
    if not found:
        pytest.skip("norse's package is not on this machine")
    return found[0]


class Cell:
    """A CubaLIF layer as a plain loop."""

    def __init__(self, node: nir.CubaLIF) -> None:
        self.node, self.i, self.v = node, np.zeros(len(node.r)), np.zeros(len(node.r))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        n = self.node
        self.i = self.i + DT / n.tau_syn * (n.w_in * x - self.i)
        self.v = self.v + DT / n.tau_mem * (n.v_leak - self.v + n.r * self.i)
        spikes = self.v > n.v_threshold
        self.v = np.where(spikes, n.v_reset, self.v)
        return spikes.astype(float)


def test_it_runs_as_a_plain_loop_over_its_equations(braille: Path) -> None:
    nodes = dict(read_nir(braille).nodes)
    network = network_of_nir(braille, DT)
    chip = network.chips[0].graph
    assert chip.registers == {("lif1.lif", "lif1.w_rec")}
    x_TN = (np.random.default_rng(1).random((256, 12)) < 0.2).astype(float)
    found = run(chip, {"input": x_TN[:, None]}).nodes
    hidden, out, before = Cell(nodes["lif1.lif"]), Cell(nodes["lif2"]), np.zeros(38)
    for t, x in enumerate(x_TN):
        drive = nodes["fc1"].weight @ x + nodes["fc1"].bias
        before = hidden(drive + nodes["lif1.w_rec"].weight @ before + nodes["lif1.w_rec"].bias)
        np.testing.assert_array_equal(found["lif1.lif"][t, 0], before)
        np.testing.assert_array_equal(found["lif2"][t, 0], out(nodes["fc2"].weight @ before + nodes["fc2"].bias))
    assert 0 < found["lif1.lif"].mean() < 1
    assert found["lif2"].any()


def test_check_needs_no_register_where_one_neuron_is_in_the_loop(
    braille: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(braille), "--dt", str(DT)]) == 0
    assert "CubaLIF" in capsys.readouterr().out
    assert main(["check", str(braille), "--dt", "1e-3"]) == 1
    assert "'lif1.lif': its tau_syn" in capsys.readouterr().err


def test_check_asks_which_edges_of_an_open_loop_are_registers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second neuron layer in the loop: which edge waits is now another network each."""
    graph = read_nir(generated(tmp_path / "one.nir"))
    nodes = {**graph.nodes, "relay": cuba(38, 2e-4, 1e-3)}
    edges = [e for e in graph.edges if e != ("lif1.w_rec", "lif1.lif")]
    edges += [("lif1.w_rec", "relay"), ("relay", "lif1.lif")]
    path = tmp_path / "open.nir"
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    argv = ["check", str(path), "--dt", str(DT), "--backend", "reference"]
    assert main(argv) == 1
    err = capsys.readouterr().err
    assert "2 spiking nodes" in err
    asked = err.split("--register u:w: ")[1].strip().split(", ")
    assert set(asked) == {"lif1.lif:lif1.w_rec", "lif1.w_rec:relay", "relay:lif1.lif"}
    for edge in asked:
        assert main([*argv, "--register", edge]) == 0
    assert f"--register {asked[-1]}" in capsys.readouterr().out
    assert main([*argv, "--register", "fc1:lif1.lif"]) == 1
    assert main([*argv, "--register", "no:edge"]) == 2


def test_registers_chosen_differently_are_different_networks(tmp_path: Path) -> None:
    path = generated(tmp_path / "one.nir")
    x = (np.random.default_rng(1).random((60, 1, 12)) < 0.3).astype(float)
    early = network_of_nir(path, DT, [("lif1.lif", "lif1.w_rec")]).chips[0].graph
    both = network_of_nir(path, DT, [("lif1.lif", "lif1.w_rec"), ("lif1.w_rec", "lif1.lif")]).chips[0].graph
    assert (run(early, {"input": x}).nodes["lif1.lif"] != run(both, {"input": x}).nodes["lif1.lif"]).any()
    with pytest.raises(UnfaithfulError, match="no edge in it is a register"):
        network_of_nir(path, DT, [])
