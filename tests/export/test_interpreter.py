"""Each NIR primitive by hand arithmetic; every expected number here was worked out on paper (powers of two)."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from export_nets import DT, chain, drive, graph, li, lif, sink, source

from spikeport.errors import SpikeportError, UnfaithfulError, UsageError
from spikeport.export.graph import ChipGraph, implied_registers
from spikeport.export.interpreter import Interpreter, run

ONE = np.ones(1)


def test_li_relaxes_to_leak_plus_drive():
    # a = 1/2, r = 4, leak = 1: v <- v + (1 - v + 4 x) / 2
    assert drive(chain((1,), li(1, r=4, leak=1)), [1, 0, 0], "n0") == [2.5, 1.75, 1.375]


def test_lif_fires_after_the_update_and_resets_to_v_reset():
    chip = chain((1,), lif(1, r=4, theta=1, reset=-0.5))
    # v = 2 -> spike, -0.5; v = -0.25; v = -0.125 + 2 = 1.875 -> spike
    assert drive(chip, [1, 0, 1], "n0") == [1, 0, 1]
    follow = Interpreter(chip)
    follow.reset(1)
    membranes = []
    for x in (1.0, 0.0, 0.0):
        follow.step({"input": np.full((1, 1), x)})
        membranes.append(float(follow.neurons["n0"].v[0, 0]))
    assert membranes == [-0.5, -0.25, -0.125]


def test_comparison_is_strict():
    at = chain((1,), lif(1, r=2, theta=1.0))
    assert drive(at, [1], "n0") == [0]
    below = chain((1,), lif(1, r=2, theta=np.nextafter(1.0, 0)))
    assert drive(below, [1], "n0") == [1]
    assert drive(chain((1,), nir.Threshold(ONE)), [1, np.nextafter(1, 2)], "n0") == [0, 1]
    assert drive(chain((1,), nir.Threshold(0 * ONE)), [0, 1e-300], "n0") == [0, 1]


def test_cuba_uses_the_new_current_and_keeps_it_at_a_spike():
    settings = {"tau_syn": 2 * DT * ONE, "tau_mem": 4 * DT * ONE, "r": 2 * ONE, "v_leak": 0 * ONE, "w_in": 3 * ONE}
    # i = 1.5, .75, .375; v <- v + (2 i - v)/4: .75, .9375, .890625
    assert drive(chain((1,), nir.CubaLI(**settings)), [1, 0, 0], "n0") == [0.75, 0.9375, 0.890625]
    spiking = nir.CubaLIF(**settings, v_threshold=0.7 * ONE, v_reset=0.25 * ONE)
    # v = .75 spike -> .25; v = .1875 + .375 = .5625; then .421875 + .1875 = .609375
    follow = Interpreter(chain((1,), spiking))
    follow.reset(1)
    seen = []
    for x in (1.0, 0.0, 0.0):
        out = follow.step({"input": np.full((1, 1), x)})
        cell = follow.neurons["n0"]
        seen.append((float(out["n0"][0, 0]), float(cell.v[0, 0]), float(cell.i[0, 0])))
    assert seen == [(1, 0.25, 1.5), (0, 0.5625, 0.75), (0, 0.609375, 0.375)]


@pytest.mark.parametrize(
    ("r", "if_step", "gain"),
    [(1.0, None, 1.0), (1 / DT, None, 1.0), (3.0, "per-step", 3.0), (3.0, "euler", 3.0 * DT), (1.0, "euler", DT)],
)
def test_integrators(r, if_step, gain):
    assert drive(chain((1,), nir.I(r * ONE), if_step=if_step), [1, 1], "n0") == pytest.approx([gain, 2 * gain])
    theta = 1.5 * gain * ONE
    node = nir.IF(r * ONE, v_threshold=theta, v_reset=-gain * ONE)
    assert drive(chain((1,), node, if_step=if_step), [1, 1, 1, 1, 1], "n0") == [0, 1, 0, 0, 1]


def test_integrator_of_another_r_needs_the_users_word():
    chip = chain((1,), nir.IF(3 * ONE, v_threshold=ONE))
    with pytest.raises(UnfaithfulError, match="--if-step"):
        drive(chip, [1], "n0")


@pytest.mark.parametrize(("steps", "wanted"), [(0, [1, 2, 3, 4]), (1, [0, 1, 2, 3]), (3, [0, 0, 0, 1]), (9, [0] * 4)])
def test_delay(steps, wanted):
    for delay in (steps * DT * ONE, np.array(steps * DT)):
        assert drive(chain((1,), nir.Delay(delay), nir.Scale(ONE)), [1, 2, 3, 4], "output") == wanted


@pytest.mark.parametrize("delay", [0.5 * DT, 1.001 * DT, -DT, np.nan])
def test_delay_that_is_not_whole_is_refused(delay):
    with pytest.raises(UnfaithfulError, match="delay"):
        chain((1,), nir.Delay(delay * ONE))
    chain((1,), nir.Delay((2 + 1e-7) * DT * ONE))


def test_unequal_delays_in_one_node_are_refused():
    with pytest.raises(UnfaithfulError, match="delay"):
        chain((2,), nir.Delay(np.array([DT, 2 * DT])))


def test_a_delay_of_a_million_steps_costs_no_memory():
    assert drive(chain((1,), nir.Delay(1e9 * DT * ONE)), [1, 1], "output") == [0, 0]


def test_sum_of_edges_and_several_inputs_and_outputs():
    nodes = {
        "a": source(2),
        "b": source(2),
        "double": nir.Scale(np.array([2.0, 3.0])),
        "sum": nir.Affine(np.array([[1.0, -1.0]]), np.array([0.5])),
        "y": sink(1),
        "z": sink(2),
    }
    chip = graph(nodes, [("a", "double"), ("double", "sum"), ("b", "sum"), ("sum", "y"), ("b", "z")])
    a, b = np.array([[[1.0, 10.0]]]), np.array([[[100.0, 1000.0]]])
    out = run(chip, {"a": a, "b": b}).nodes
    assert out["y"].item() == (2 + 100) - (30 + 1000) + 0.5
    assert out["z"].ravel().tolist() == [100, 1000]


def recurrent(weight: float, bias: float) -> dict[str, nir.NIRNode]:
    affine = nir.Affine(np.array([[weight]]), np.array([bias]))
    return {"input": source(1), "cell": lif(1, a=1.0, theta=0.9), "back": affine, "output": sink(1)}


LOOP = [("input", "cell"), ("cell", "back"), ("back", "cell"), ("cell", "output")]


def test_an_affine_in_a_loop_gives_its_bias_in_the_first_step():
    chip = graph(recurrent(weight=-1.0, bias=1.0), LOOP)
    assert chip.registers == {("cell", "back")}
    # t=0: bias 1 -> spike; t=1: 1 - 1 = 0 -> silent; t=2: spike
    assert drive(chip, [0, 0, 0, 0], "cell") == [1, 0, 1, 0]


def test_a_register_on_the_affines_edge_means_the_same():
    chip = graph(recurrent(weight=-1.0, bias=1.0), LOOP, registers=[("back", "cell")])
    assert drive(chip, [0, 0, 0, 0], "cell") == [1, 0, 1, 0]


def test_a_register_of_a_value_node_carries_its_initial_zero():
    nodes = {"input": source(1), "v": li(1, a=1.0), "back": nir.Scale(np.array([0.5])), "output": sink(1)}
    edges = [("input", "v"), ("v", "back"), ("back", "v"), ("v", "output")]
    assert drive(graph(nodes, edges, registers=[("v", "back")]), [1, 0, 0], "v") == [1, 0.5, 0.25]


def test_a_delay_closes_a_loop_without_a_register():
    nodes = {"input": source(1), "v": li(1, a=1.0), "wait": nir.Delay(2 * DT * ONE), "output": sink(1)}
    edges = [("input", "v"), ("v", "wait"), ("wait", "v"), ("v", "output")]
    chip = graph(nodes, edges)
    assert chip.registers == frozenset()
    assert drive(chip, [1, 0, 0, 0, 0], "v") == [1, 0, 1, 0, 1]


def test_a_loop_of_value_nodes_alone_is_refused_until_named():
    nodes = {"input": source(1), "v": li(1), "back": nir.Scale(ONE), "output": sink(1)}
    edges = [("input", "v"), ("v", "back"), ("back", "v"), ("v", "output")]
    with pytest.raises(UnfaithfulError, match="--register"):
        graph(nodes, edges)
    with pytest.raises(UnfaithfulError, match="no edge in it is a register"):
        graph(nodes, edges, registers=[])
    with pytest.raises(UsageError, match="no such edge"):
        graph(nodes, edges, registers=[("back", "input")])


def test_two_spiking_nodes_in_one_loop_are_refused_since_the_choice_matters():
    nodes = {"input": source(1), "p": lif(1, a=1.0, theta=0.5), "q": lif(1, a=1.0, theta=0.5), "output": sink(1)}
    edges = [("input", "p"), ("p", "q"), ("q", "p"), ("q", "output")]
    with pytest.raises(UnfaithfulError, match="2 spiking nodes"):
        graph(nodes, edges)
    one = drive(graph(nodes, edges, registers=[("q", "p")]), [1, 0, 0, 0], "q")
    two = drive(graph(nodes, edges, registers=[("q", "p"), ("p", "q")]), [1, 0, 0, 0], "q")
    assert one != two


def test_implied_registers_by_themselves():
    nodes = {"t": nir.Threshold(ONE), "s": nir.Scale(ONE), "v": li(1), "far": nir.Scale(ONE)}
    edges = [("v", "t"), ("t", "s"), ("s", "v"), ("t", "v"), ("t", "far")]
    assert implied_registers(nodes, edges, DT) == {("t", "s"), ("t", "v")}
    assert implied_registers({"c": lif(1)}, [("c", "c")], DT) == {("c", "c")}
    assert implied_registers(nodes, [("v", "t"), ("t", "far")], DT) == frozenset()


def nested(*path: str) -> nir.NIRGraph:
    inner: nir.NIRNode = lif(2)
    for name in path:
        inner = nir.NIRGraph(
            {"in": source(2), name: inner, "out": sink(2)}, [("in", name), (name, "out")], type_check=False
        )
    assert isinstance(inner, nir.NIRGraph)
    return inner


def test_nested_graphs_are_wires():
    flat = chain((2,), lif(2))
    deep = graph({"input": source(2), "a": nested("x", "y"), "output": sink(2)}, [("input", "a"), ("a", "output")])
    assert deep.spiking == ("a.y.x",)
    x = np.random.default_rng(0).uniform(0, 6, (30, 2, 2))
    spikes = run(flat, {"input": x}).nodes["n0"]
    assert 0 < spikes.mean() < 1
    np.testing.assert_array_equal(run(deep, {"input": x}).nodes["a.y.x"], spikes)


def test_nested_names_do_not_swallow_nodes():
    nodes = {"input": source(2), "a": nested("x"), "a.x": nir.Scale(np.ones(2)), "output": sink(2)}
    with pytest.raises(UnfaithfulError, match=r"a\.x"):
        graph(nodes, [("input", "a"), ("a", "a.x"), ("a.x", "output")])


def test_a_subgraph_that_only_wires_is_named():
    wire = nir.NIRGraph({"i": source(2), "o": sink(2)}, [("i", "o")], type_check=False)
    with pytest.raises(UnfaithfulError, match="wires its input"):
        graph({"input": source(2), "w": wire, "output": sink(2)}, [("input", "w"), ("w", "output")])


def test_the_result_does_not_depend_on_the_batch():
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(5, 3))
    nodes = {
        "input": source(3),
        "fc": nir.Affine(weight, rng.normal(size=5)),
        "cell": lif(5, theta=0.3),
        "wait": nir.Delay(2 * DT * np.ones(5)),
        "rec": nir.Affine(rng.normal(size=(5, 5)), rng.normal(size=5)),
        "output": sink(5),
    }
    edges = [("input", "fc"), ("fc", "cell"), ("cell", "wait"), ("wait", "rec"), ("rec", "cell"), ("cell", "output")]
    chip = graph(nodes, edges)
    x = rng.normal(size=(40, 7, 3))
    whole = run(chip, {"input": x}).nodes["cell"]
    assert 0.05 < whole.mean() < 0.95
    np.testing.assert_array_equal(run(chip, {"input": x}, batch=2).nodes["cell"], whole)
    for b in range(7):
        np.testing.assert_array_equal(run(chip, {"input": x[:, [b]]}).nodes["cell"][:, 0], whole[:, b])


def test_state_is_reset_between_runs():
    follow = Interpreter(chain((1,), lif(1), nir.Delay(DT * ONE)))
    outcomes = []
    for _ in range(2):
        follow.reset(1)
        outcomes.append([follow.step({"input": np.full((1, 1), 3.0)})["output"].item() for _ in range(5)])
    assert outcomes[0] == outcomes[1]
    assert sum(outcomes[0]) > 0


def plain_python(weights, rec, bias, beta, theta, x_TN):
    """RLeaky zero without delay as scalar loops: the third opinion."""
    size = len(bias)
    v, s, rows = [0.0] * size, [0.0] * size, []
    for x in x_TN:
        drive = [
            sum(w * xi for w, xi in zip(weights[j], x, strict=True))
            + sum(w * si for w, si in zip(rec[j], s, strict=True))
            + bias[j]
            for j in range(size)
        ]
        v = [beta * vj + dj for vj, dj in zip(v, drive, strict=True)]
        s = [1.0 if vj > theta else 0.0 for vj in v]
        v = [0.0 if sj else vj for vj, sj in zip(v, s, strict=True)]
        rows.append(list(s))
    return np.array(rows)


def test_recurrence_against_a_plain_loop():
    rng = np.random.default_rng(3)
    weights, rec, bias = rng.normal(size=(4, 3)), rng.normal(size=(4, 4)), rng.normal(size=4) * 0.2
    beta, x = 0.8, rng.normal(size=(80, 3))
    o = np.ones(4)
    cell = nir.LIF(tau=o * DT / (1 - beta), r=o / (1 - beta), v_leak=0 * o, v_threshold=o, v_reset=0 * o)
    nodes = {
        "input": source(3),
        "fc": nir.Linear(weights),
        "cell": cell,
        "rec": nir.Affine(rec, bias),
        "output": sink(4),
    }
    edges = [("input", "fc"), ("fc", "cell"), ("cell", "rec"), ("rec", "cell"), ("cell", "output")]
    ours = run(graph(nodes, edges), {"input": x[:, None]}).nodes["cell"][:, 0]
    wanted = plain_python(weights, rec, bias, beta, 1.0, x)
    assert 0.05 < wanted.mean() < 0.95
    np.testing.assert_array_equal(ours, wanted)
    nodes["rec"] = nir.Linear(rec)
    assert (run(graph(nodes, edges), {"input": x[:, None]}).nodes["cell"][:, 0] != wanted).any()


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({}, "takes"),
        ({"input": np.zeros((3, 2, 2)), "more": np.zeros((3, 2, 2))}, "takes"),
        ({"input": np.zeros((3, 2, 3))}, "Reshape"),
        ({"input": np.zeros((0, 2, 2))}, "at least 1"),
        ({"input": np.zeros((3, 0, 2))}, "at least 1"),
        ({"input": np.full((3, 1, 2), np.nan)}, "NaN"),
    ],
)
def test_bad_inputs(inputs, match):
    with pytest.raises(UsageError, match=match):
        run(chain((2,), lif(2)), inputs)


BAD_NODES = {
    "parameters of another size": lif(5),
    "parameters of another rank": nir.Scale(np.ones((3, 3))),
    "threshold of another size": nir.Threshold(np.ones(2)),
    "negative threshold": lif(3, theta=-0.1),
    "negative Threshold": nir.Threshold(-np.ones(3)),
    "tau of 0": nir.LI(tau=np.zeros(3), r=np.ones(3), v_leak=np.zeros(3)),
    "tau below dt": lif(3, a=1.01),
    "NaN in a bare number": nir.LI(np.float64("nan"), np.float64(1), np.float64(0)),
    "infinite weight": nir.Linear(np.full((3, 3), np.inf)),
    "complex weight": nir.Linear(np.ones((3, 3)) * 1j),
    "text for a weight": nir.Linear(np.full((3, 3), b"one")),
    "weight of rank 3": nir.Linear(np.ones((2, 3, 3))),
    "bias with a batch": nir.Affine(np.eye(3), np.ones((1, 3))),
    "bias of another size": nir.Affine(np.eye(3), np.ones(2)),
    "wrong width": nir.Linear(np.ones((3, 4))),
    "delay of another size": nir.Delay(DT * np.ones(4)),
    "flatten beyond the rank": nir.Flatten({"input": np.array([3])}, 1, -1),
}


@pytest.mark.parametrize("node", BAD_NODES.values(), ids=BAD_NODES.keys())
def test_nodes_without_meaning_are_refused(node):
    with pytest.raises(UnfaithfulError, match="n0"):
        chain((3,), node)


BAD_CONVOLUTIONS = {
    "stride 0": {"stride": 0},
    "stride -1": {"stride": -1},
    "stride 1.5": {"stride": 1.5},
    "padding -1": {"padding": -1},
    "padding of four": {"padding": (1, 2, 3, 4)},
    "dilation 0": {"dilation": 0},
    "groups 2 of 3": {"groups": 2},
    "groups 0": {"groups": 0},
    "bias of 2": {"bias": np.zeros(2)},
    "same with stride": {"stride": 2, "padding": "same"},
    "kernel larger than the image": {"weight": np.ones((3, 2, 9, 9))},
    "weight of rank 3": {"weight": np.ones((3, 2, 3))},
}


@pytest.mark.parametrize("change", BAD_CONVOLUTIONS.values(), ids=BAD_CONVOLUTIONS.keys())
def test_convolutions_without_meaning_are_refused(change):
    fields = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "weight": np.ones((3, 2, 3, 3))}
    fields |= {"bias": np.zeros(3), "input_shape": None}
    chain((2, 6, 6), nir.Conv2d(**fields))
    with pytest.raises(UnfaithfulError):
        chain((2, 6, 6), nir.Conv2d(**fields | change))


def test_bad_graphs_are_refused():
    ok = {"input": source(3), "c": lif(3), "output": sink(3)}
    with pytest.raises(UnfaithfulError, match="nothing feeds it"):
        graph(ok | {"lost": lif(3)}, [("input", "c"), ("c", "output")])
    with pytest.raises(UnfaithfulError, match="no node 'x'"):
        graph(ok, [("input", "c"), ("c", "x"), ("c", "output")])
    with pytest.raises(UnfaithfulError, match="fed by another"):
        graph(ok, [("input", "c"), ("c", "output"), ("c", "input")])
    with pytest.raises(UnfaithfulError, match="shapes"):
        graph(ok | {"w": nir.Linear(np.ones((2, 3)))}, [("input", "w"), ("input", "c"), ("w", "c"), ("c", "output")])
    with pytest.raises(SpikeportError, match="shape"):
        graph(ok | {"input": nir.Input({"input": None})}, [("input", "c"), ("c", "output")])
    with pytest.raises(UnfaithfulError, match="bounds"):
        chain((10**12,), nir.Scale(np.array(1.0)))
    for dt_s in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(UsageError, match="time step"):
            ChipGraph.from_nir(nir.NIRGraph(ok, [("input", "c"), ("c", "output")], type_check=False), dt_s)
