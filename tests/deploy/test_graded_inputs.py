"""Real-valued inputs on Loihi's integers, held against plain numpy in float: `u / scale` is `W x`, and v is LIF's v.

Nothing of the quantiser is called by the oracle. It takes the program's integers (weights, exponents, decays, what is
sent for an input), sums them by hand, and holds the sum against the float network that the test itself wrote down.

Shapes: T steps, B samples, N neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from deploy_nets import chain, graph, lif, sink, source
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from spikeport.deploy.call import deploy
from spikeport.deploy.hops import RefusedError
from spikeport.deploy.lava import FixedBackend, fixed_backend
from spikeport.deploy.loihi.backend import LoihiBackend, backend
from spikeport.deploy.loihi.program import LoihiProgram
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.call import export
from spikeport.export.graph import ChipGraph

Array = NDArray[np.float64]
DT = 1e-3
SIZES = {"h": 7, "y": 6, "r": 3}


@dataclass(frozen=True)
class Net:
    """Two spiking layers and a membrane that is read; the first is fed by real values and spikes, all hear real values.

    s[t] = v[t] > theta, v = (1 - dv) v + W x + b before it, 0 after it; the recurrent spikes are those of the step
    before, the read membrane has no threshold.
    """

    w: Mapping[tuple[str, str], Array]
    bias: Mapping[str, Array]
    dv: Mapping[str, float]
    theta: Mapping[str, float]

    def nodes(self) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]]]:
        nodes: dict[str, nir.NIRNode] = {"x": source(5), "z": source(4), "out": sink(3)}
        for name, size in SIZES.items():
            tau = np.full(size, DT / self.dv[name])
            common = {"tau": tau, "r": tau / DT, "v_leak": self.bias[name] / self.dv[name]}
            spiking = name in self.theta
            nodes[name] = (
                nir.LIF(**common, v_threshold=np.full(size, self.theta[name])) if spiking else nir.LI(**common)
            )
        edges = [("r", "out")]
        for i, ((before, after), weight) in enumerate(self.w.items()):
            nodes[f"w{i}"] = nir.Linear(weight)
            edges += [(before, f"w{i}"), (f"w{i}", after)]
        return nodes, edges


CONNECTIONS = [("x", "h"), ("z", "h"), ("h", "y"), ("x", "y"), ("y", "y"), ("y", "r"), ("x", "r")]


def draw(seed: int, magnitude: float, drive: float, bias: float) -> tuple[Net, dict[str, Array]]:
    """Return a network whose sums of real inputs of `magnitude` are about `drive` thresholds, and inputs for it."""
    g = np.random.default_rng(seed)
    sizes = {"x": 5, "z": 4} | SIZES
    strength = {"x": drive / magnitude, "z": 1.0, "h": 1.0, "y": 0.5}
    w = {(a, b): g.normal(size=(sizes[b], sizes[a])) * strength[a] for a, b in CONNECTIONS}
    net = Net(
        w,
        {name: g.normal(size=size) * bias for name, size in SIZES.items()},
        {name: float(g.choice([0.05, 0.1, 0.3, 0.9])) for name in SIZES},
        {"h": float(g.uniform(0.5, 2)), "y": float(g.uniform(0.5, 2))},
    )
    x = magnitude * g.choice([g.uniform(0, 1, (16, 3, 5)), g.normal(size=(16, 3, 5)).clip(-2, 2)])
    return net, {"x": x, "z": (g.random((16, 3, 4)) < 0.4).astype(float)}


def worst_error(net: Net, program: LoihiProgram, x: Mapping[str, Array]) -> float:
    """Return the largest |v - v in float| over what the program's report allows; every neuron's spikes are given.

    Both membranes are reset where the integers fire. Between resets the errors add up,

        e[t] = (1 - dv) e[t-1] + |dv error| |v[t-1]| + sum of (|W error| |x| + |W| |x error|) + |b error| + roundings,

    with the errors of weights, inputs, biases and decays as the report has them.
    """
    quantised = program.quantised
    layers = {layer.layer.name: layer for layer in quantised.layers}
    records = program.records(x, u=tuple(layers), v=tuple(layers))
    steps = len(x["x"])
    late = {name: layer.layer.latency for name, layer in layers.items()}
    ours = {n: records.v[n].astype(float)[late[n] :] / layers[n].scale_N for n in layers}
    spikes = {n: records.spikes[n].astype(float)[late[n] :] for n in net.theta}
    worst = 0.0
    for name, layer in layers.items():
        report = quantised.reports[name]
        terms = {a: weight for (a, b), weight in net.w.items() if b == name}
        largest = {a: quantised.input_limits.get(a, 1.0) for a in terms}
        strongest = max(float(np.abs(weight).max()) * largest[a] for a, weight in terms.items())
        dv_error = report.decay_error * net.dv[name]
        unit_v = net.theta.get(name, 1.0)
        rounding = (1.0 + 64 * len(terms)) / layer.scale_N.min()
        v, e = (np.zeros((3, SIZES[name])) for _ in range(2))
        for t in range(steps):
            drive, bound = net.bias[name].copy(), report.bias_error * unit_v + rounding
            for a, weight in terms.items():
                sent = x[a] if a in x else spikes[a] if a != name else before(spikes[a])
                drive = drive + sent[t] @ weight.T
                w_error = report.weight_error * strongest / largest[a]
                x_error = report.input_error * largest[a] if a in quantised.input_scales else 0.0
                bound = bound + w_error * np.sum(np.abs(sent[t]), -1, keepdims=True)
                bound = bound + x_error * (np.abs(weight) + w_error).sum(1)
            e = (1 - net.dv[name] + dv_error) * e + dv_error * np.abs(v) + bound
            v = (1 - net.dv[name]) * v + drive
            fired = spikes[name][t] > 0 if name in spikes else np.zeros(v.shape, bool)
            if name in net.theta:
                margin = np.abs(v - net.theta[name])
                wrong = fired != (v > net.theta[name])
                worst = max(worst, float(np.max(np.where(wrong, margin / e, 0))))
            worst = max(worst, float(np.max(np.where(fired, 0, np.abs(v - ours[name][t]) / e))))
            v, e = np.where(fired, 0, v), np.where(fired, 0, e)
    return worst


def before(x: Array) -> Array:
    """Return `x` one step later."""
    return np.concatenate([np.zeros_like(x[:1]), x[:-1]])


networks = st.tuples(
    st.integers(0, 2**32 - 1),
    st.floats(-3, 3).map(lambda e: 10.0**e),
    st.floats(-2, 2).map(lambda e: 10.0**e),
    st.sampled_from([0.0, 0.1, 1.0]),
)


@settings(deadline=None, max_examples=20)
@given(networks, st.sampled_from([8, 8, 6, 4]))
def test_membranes_are_the_float_networks_within_what_the_report_says(
    case: tuple[int, float, float, float], bits: int
) -> None:
    net, x = draw(*case)
    program = LoihiBackend(WeightBits(bits)).lower(graph(*net.nodes()), x)
    assert set(program.quantised.input_scales) == {"x"}
    assert not any(program.records(x).wraps.values())
    assert worst_error(net, program, x) <= 1
    for report in program.quantised.reports.values():
        assert report.input_error < 0.05
        assert report.weight_error < 2.0 ** (2 - bits)


@pytest.mark.parametrize(("magnitude", "drive"), [(1e-3, 0.01), (1.0, 1.0), (1e3, 30.0)])
def test_lava_is_the_engine_bit_for_bit(magnitude: float, drive: float) -> None:
    net, x = draw(3, magnitude, drive, 0.1)
    chip = graph(*net.nodes())
    program = backend.lower(chip, x)
    ours, theirs = program.run(x), fixed_backend.lower(chip, x).run(x)
    assert min(hop.weight_exp for hop in program.quantised.hops if hop.hop.source == "x") < -1 or drive > 1
    for name, values in theirs.nodes.items():
        np.testing.assert_array_equal(ours.nodes[name], values)
        assert np.any(values)


def test_real_inputs_into_a_recurrent_layer_run_as_torch_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    cell = snn.RLeaky(beta=0.9, linear_features=12, reset_mechanism="zero", reset_delay=False, init_hidden=True)
    x = torch.rand(20, 4, 16)
    bundle = export(nn.Sequential(nn.Linear(16, 12), cell), x, 1e-3, tmp_path / "r.bundle")
    (agreement,) = deploy(bundle, "loihi", out=tmp_path / "r.loihi").agreements.values()
    assert agreement.mismatches <= 0.03 * agreement.entries


def test_the_bound_notices_an_input_that_is_twice_too_strong() -> None:
    net, x = draw(0, 1.0, 1.0, 0.1)
    program = backend.lower(graph(*net.nodes()), x)
    assert worst_error(net, program, x) <= 1
    hops = [replace(h, weight_exp=h.weight_exp + (h.hop.source == "x")) for h in program.quantised.hops]
    assert worst_error(net, replace(program, quantised=replace(program.quantised, hops=hops)), x) > 10


def one_layer(weight: Array, node: nir.NIRNode) -> ChipGraph:
    return chain(x=source(weight.shape[1]), w=nir.Linear(weight), n=node, out=sink(weight.shape[0]))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(-8, 9) / 8,
        np.arange(9) / 8,
        np.array([0.0, 0.125]),
        np.arange(6),
        np.array([-1, 0, 1]),
        np.full(1, 0.5),
    ],
    ids=["signed", "positive", "faint", "counts", "ternary", "constant"],
)
def test_u_over_scale_is_w_x(values: Array) -> None:
    """Weights of 1/32 and inputs of 1/8 are whole in the integers: only the shift of the sum rounds."""
    g = np.random.default_rng(0)
    weight = g.integers(-63, 64, size=(4, 6)) / 32
    x = {"x": g.choice(values, size=(20, 2, 6))}
    for node in (lif(4), nir.LI(tau=np.full(4, 10 * DT), r=np.full(4, 10.0), v_leak=np.zeros(4))):
        program = backend.lower(one_layer(weight, node), x)
        scale = program.quantised.layers[0].scale_N
        u = program.records(x, u=("n",)).u["n"][1:] / scale
        lost = 64 / scale[0] if program.quantised.input_scales else 1e-12
        np.testing.assert_allclose(u, x["x"] @ weight.T, rtol=0, atol=lost)
        assert lost < 1e-3


def test_headroom_is_what_the_membrane_may_still_grow() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 6))
    li = nir.LI(tau=np.full(4, 10 * DT), r=np.full(4, 10.0), v_leak=np.zeros(4))
    x = {"x": np.random.default_rng(1).random((20, 2, 6))}
    program = backend.lower(one_layer(weight, li), x)
    largest = np.abs(program.records(x, v=("n",)).v["n"]).max()
    headroom = program.quantised.reports["n"].headroom
    assert headroom is not None
    assert headroom >= 2 * 0.98
    assert headroom * largest == pytest.approx(2**23, rel=0.02)
    assert program.quantised.input_limits["x"] == 2 * x["x"].max()
    program.run({"x": x["x"] * 1.9})
    with pytest.raises(UsageError, match="chosen for at most"):
        program.run({"x": x["x"] * 2.1})


@pytest.mark.parametrize("of", [backend, fixed_backend], ids=["loihi", "lava-fixed"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_membrane_that_is_read_is_refused_where_it_leaves_the_24_bits(sign: int, of: FixedBackend) -> None:
    li = nir.LI(tau=np.full(1, 20 * DT), r=np.full(1, 20.0), v_leak=np.zeros(1))
    net = one_layer(np.ones((1, 2)) * sign, li)
    short = {"x": np.full((2, 1, 2), 0.5)}
    long = {"x": np.full((60, 1, 2), 0.5)}
    with pytest.raises(UnfaithfulError, match=r"node 'n'.*its membrane, which is read") as caught:
        of.lower(net, short).run(long)
    assert caught.value.fix == "Calibrate with samples like these"
    v = of.lower(net, long).run(long).nodes["n"]
    assert v[-1, 0, 0] == pytest.approx(sign * 20 * (1 - 0.95**60), rel=0.01)


def test_silent_samples_leave_room_for_spikes() -> None:
    net = one_layer(np.eye(3), lif(3))
    spikes = {"x": np.ones((5, 1, 3))}
    assert np.array_equal(
        backend.lower(net, {"x": np.zeros((5, 1, 3))}).run(spikes).nodes["n"],
        backend.lower(net, spikes).run(spikes).nodes["n"],
    )


def test_inputs_too_faint_for_a_level_are_refused_and_stronger_weights_help() -> None:
    x = {"x": np.random.default_rng(0).random((6, 2, 3)) * 1e-9}
    with pytest.raises(RefusedError, match=r"'x'.*levels beside the weights") as caught:
        backend.lower(one_layer(np.eye(3), lif(3)), x)
    assert "Make its weights larger" in caught.value.fix
    backend.lower(one_layer(np.eye(3) * 1e9, lif(3)), x).run(x)


def test_inputs_below_all_scales_are_refused_and_scaling_helps() -> None:
    x = np.random.default_rng(0).random((6, 2, 3)) * 1e-310
    with pytest.raises(RefusedError, match="whole numbers") as caught:
        backend.lower(one_layer(np.eye(3), lif(3)), {"x": x})
    assert caught.value.fix == "Scale the input up"
    backend.lower(one_layer(np.eye(3), lif(3)), {"x": x * 1e300 * 1e9}).run({"x": x * 1e300 * 1e9})


def test_strong_weights_beside_weak_ones_are_not_clipped() -> None:
    """Weights 400 times apart want more exponents than there are: the weak ones lose levels, none is clipped."""
    g = np.random.default_rng(0)
    nodes = {"x": source(4), "z": source(4), "wx": nir.Linear(g.normal(size=(5, 4)) * 400),
             "wz": nir.Linear(g.normal(size=(5, 4))), "n": lif(5, threshold=400), "out": sink(5)}  # fmt: skip
    edges = [("x", "wx"), ("wx", "n"), ("z", "wz"), ("wz", "n"), ("n", "out")]
    x = {name: (g.random((10, 2, 4)) < 0.5).astype(float) for name in "xz"}
    report = backend.lower(graph(nodes, edges), x).quantised.reports["n"]
    assert report.weight_error < 0.01


def test_the_synaptic_decays_rounding_is_told() -> None:
    """du of 0.0003 is 1.2288 of 4096, held as 1."""
    o = np.ones(2)
    cuba = nir.CubaLIF(tau_syn=DT / 0.0003 * o, tau_mem=8 * DT * o, r=o, v_leak=0 * o, v_threshold=o * 0.2, w_in=o)
    x = {"x": np.random.default_rng(0).integers(0, 2, (5, 2, 2)).astype(float)}
    report = backend.lower(one_layer(np.eye(2), cuba), x).quantised.reports["n"]
    assert report.decay_error == pytest.approx(1 - 1 / 1.2288, rel=1e-6)
