"""norse really run: its cells are the reference and snnTorch, bit for bit; its importer and its own reset are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from deploy_nets import DT, EXACT, graph, inputs, readout, recurrent, sink, source
from norse_nets import SHAPES, Branches, odd_neurons
from side_by_side import side_by_side
from snntorch import utils

import spikeport
from spikeport.deploy.deployment import audit_run
from spikeport.deploy.norse import backend
from spikeport.deploy.norse.program import ENVIRONMENT
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.recording import FLOAT64

PEER = Path(__file__).parent / "norse_peer" / "worker.py"


def test_every_spike_and_value_is_the_references() -> None:
    net = side_by_side({make.__name__: make() for make in (*EXACT, readout)} | odd_neurons())
    x = inputs(net, timesteps=20)
    recording = backend.lower(net).run(x)
    agreement = audit(net, x, recording)
    assert (agreement.mismatches, agreement.ties, recording.unit_roundoff) == (0, 0, FLOAT64)
    assert {name for name, node in agreement.per_node.items() if node.spikes_reference == 0} == set()


def test_explain_says_whose_code_runs() -> None:
    said = {verdict.kind: verdict for net in odd_neurons().values() for verdict in backend.explain(net)}
    for kind, cell in {"LIF": "lif_box", "CubaLI": "li_box", "IF": "iaf", "Threshold": "threshold function"}.items():
        assert cell in said[kind].reason
        assert "not its importer" in said[kind].reason
    assert (said["I"].fate, said["Delay"].fate) == ("rewritten", "rewritten")
    assert said["LI"].reason.endswith("which has no LI")


def test_snntorchs_neurons_are_snntorchs(tmp_path: Path) -> None:
    """Default resets (by subtraction, one step late), Synaptic, Lapicque, recurrent, MaxPool of spikes, Conv1d, ..."""
    net, g = Branches(), torch.Generator().manual_seed(1)
    sample = {n: (torch.rand(20, 3, *shape, generator=g) < 0.4).float() for n, shape in SHAPES.items()}
    network = spikeport.export(net, sample, DT, tmp_path / "n.bundle").network
    utils.reset(net)
    with torch.no_grad():
        steps = [net(*(x[t] for x in sample.values())) for t in range(20)]
    own = [torch.stack(values).numpy() for values in zip(*steps, strict=True)]

    ran = run_network(network, lower_network(network, backend), {n: x.numpy() for n, x in sample.items()})
    assert len(network.outputs) == len(own) == 15
    for name, values in zip(network.outputs, own, strict=True):
        spikes = np.isin(values, (0, 1)).all()
        np.testing.assert_allclose(ran.tensors[name], values, rtol=0, atol=0 if spikes else 1e-5)
        assert 0 < np.count_nonzero(values) < values.size
    (agreement,) = audit_run(network, ran).values()
    assert (agreement.mismatches, agreement.ties) == (0, 0)


def one(neuron: nir.NIRNode, size: int = 1) -> ChipGraph:
    return graph({"x": source(size), "n": neuron, "out": sink(size)}, [("x", "n"), ("n", "out")])


def default_reset() -> ChipGraph:
    """snnTorch's Leaky(beta=0.5), by hand."""
    o = np.ones(1)
    nodes = {"x": source(1), "v": nir.LI(tau=2 * DT * o, r=2 * o, v_leak=0 * o), "n": nir.Threshold(o)}
    nodes |= {"off": nir.Scale(-o), "out": sink(1)}
    return graph(nodes, [("x", "v"), ("v", "n"), ("n", "off"), ("off", "v"), ("n", "out")])


def neuron(**fields: float) -> ChipGraph:
    """A LIF with beta = 0.5: `v = 0.5 v + 0.5 (v_leak + r I)`."""
    given = {"tau": 2 * DT, "r": 1.0, "v_leak": 0.0, "v_reset": 0.0, **fields}
    return one(nir.LIF(**{field: np.full(1, value) for field, value in given.items()}))


BY_HAND = {
    # v = 0.5, 0.75, 0.875, 0.9375 *, and from 0 again; norse's importer drops r, and v stays below 0.5.
    "gain": (neuron(r=2.0, v_threshold=0.9), 0.5, [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]),
    # v = 0.5, 0.75 *, and from 0.5 to 0.75 * in every step; from 0 it takes two steps.
    "reset": (neuron(v_threshold=0.7, v_reset=0.5), 1.0, [0, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1]),
    # v = 0.5, 0.75, 0.875, 0.9375 *; a membrane that starts at v_leak fires at once.
    "leak": (neuron(v_threshold=0.9, v_leak=1.0), 0.0, [0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0]),
    # v = 0.9, 1.35 *, 1.575 - 1, 1.1875 *, 1.49375 - 1, 1.146875 *.
    # With 1 off at once: 0.9, 1.35 *, 1.075 *, 0.9375, 1.36875 *, 1.084375 *.
    "subtracted": (default_reset(), 0.9, [0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 1, 1]),
}


def test_traces_by_hand_that_norse_by_itself_does_not_give(tmp_path: Path) -> None:
    tau = np.arange(2, 32) * DT
    zero, o = np.zeros(30), np.ones(30)
    # A spike lifts v to dt/tau, the threshold itself in float64: nothing fires. In float32 some do.
    tie = one(nir.LIF(tau=tau, r=o, v_leak=zero, v_threshold=DT / tau, v_reset=zero), 30)
    graphs = {name: net for name, (net, *_) in BY_HAND.items()} | {"tie": tie}
    x = {name: np.full((6, 1, 1), current) for name, (_, current, *_) in BY_HAND.items()}
    x["tie"] = np.concatenate([np.ones((1, 1, 30)), np.zeros((5, 1, 30))])

    ours = backend.lower(side_by_side(graphs)).run({f"{name}.x": given for name, given in x.items()}).nodes
    for name in set(graphs) - {"subtracted"}:
        nir.write(tmp_path / f"{name}.nir", graphs[name].to_nir())
    nir.write(tmp_path / "no_li.nir", one(nir.LI(tau=2 * DT * np.ones(1), r=np.ones(1), v_leak=np.zeros(1))).to_nir())
    np.savez(tmp_path / "x.npz", **x, no_li=x["gain"])  # type: ignore[arg-type]
    ENVIRONMENT.run(PEER, tmp_path)
    with np.load(tmp_path / "records.npz") as stored:
        theirs = dict(stored)

    for name, (_, _, expected, alone) in BY_HAND.items():
        assert ours[f"{name}.n"].ravel().tolist() == expected
        assert theirs[name].ravel().tolist() == alone
    assert not ours["tie.n"].any()
    assert theirs["tie"][0].any()
    assert "no_li" not in theirs


def test_samples_in_several_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net = recurrent()
    x = inputs(net, samples=5)
    program = backend.lower(net)
    whole = program.run(x)
    monkeypatch.setattr("spikeport.deploy.norse.program._ELEMENTS_AT_ONCE", 1)
    np.testing.assert_array_equal(program.run(x).nodes["y"], whole.nodes["y"])


def test_a_deployment_runs_by_itself(tmp_path: Path) -> None:
    """Its folder holds the script and all that it reads but the inputs."""
    net = recurrent()
    x = inputs(net)
    program = backend.lower(net)
    program.save(tmp_path)
    np.savez(tmp_path / "inputs.npz", **{"node/x": x["x"]})  # type: ignore[arg-type]
    ENVIRONMENT.run(tmp_path / "worker.py", tmp_path)
    with np.load(tmp_path / "records.npz") as stored:
        assert audit(net, x, replace(run(net, x), nodes={n: stored[f"node/{n}"] for n in ("y", "out")})).exact
