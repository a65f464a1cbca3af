"""Reset by subtraction against a plain loop, and what has none."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from export_nets import DT, chain, drive, graph, lif, sink, source

from spikeport.errors import UnfaithfulError
from spikeport.export.interpreter import run
from spikeport.export.resets import with_soft_reset


def cell(n: int, r: float = 1.0, theta: float = 1.0, reset: float = 0.0) -> nir.IF:
    o = np.ones(n)
    return nir.IF(r=r * o, v_threshold=theta * o, v_reset=reset * o)


def soft(x: np.ndarray, gain: float, theta: float) -> list[float]:
    v, spikes = 0.0, []
    for value in x:
        v += gain * value
        spikes.append(float(v > theta))
        v -= theta * spikes[-1]
    return spikes


@pytest.mark.parametrize(
    ("r", "theta", "gain", "if_step"), [(1, 1, 1, None), (3, 0.7, 3, "per-step"), (1 / DT, 2, 1, None)]
)
def test_subtraction_as_a_loop_computes_it(r, theta, gain, if_step):
    x = np.random.default_rng(0).uniform(-0.5, 1.5, 200)
    hard = chain((1,), cell(1, r, theta, reset=0.1), if_step=if_step)
    rewritten = with_soft_reset(hard)
    spikes = drive(rewritten, x, "n0")
    assert spikes == soft(x, gain, theta)
    assert sum(spikes) > sum(drive(hard, x, "n0")) > 0


def test_layers_and_loops_keep_their_names_edges_and_registers():
    rng = np.random.default_rng(1)
    nodes = {
        "input": source(3),
        "in": nir.Affine(rng.normal(size=(4, 3)), rng.normal(size=4)),
        "a": cell(4),
        "back": nir.Affine(rng.normal(size=(4, 4)), np.zeros(4)),
        "b": cell(4, theta=1.5),
        "output": sink(4),
    }
    edges = [("input", "in"), ("in", "a"), ("a", "back"), ("back", "a"), ("a", "b"), ("b", "output")]
    hard = graph(nodes, edges)
    x = rng.uniform(0, 1, (60, 2, 3))
    again = with_soft_reset(hard)
    assert again.spiking == ("a", "b")
    assert hard.registers | {("a", "a.reset"), ("b", "b.reset")} == again.registers
    found = run(again, {"input": x}).nodes
    w_in, w_back = nodes["in"], nodes["back"]
    va, vb, sa = np.zeros((2, 4)), np.zeros((2, 4)), np.zeros((2, 4))
    for t in range(60):
        va = va + x[t] @ w_in.weight.T + w_in.bias + sa @ w_back.weight.T
        sa = (va > 1) * 1.0
        va -= sa
        vb = vb + sa
        sb = vb > 1.5
        vb -= 1.5 * sb
        np.testing.assert_array_equal(found["a"][t], sa)
        np.testing.assert_array_equal(found["b"][t], sb)
    assert found["b"].any()


def test_what_cannot_be_rewritten_is_refused():
    with pytest.raises(UnfaithfulError, match=r"'n0' \(LIF\): it leaks"):
        with_soft_reset(chain((1,), lif(1)))
    with pytest.raises(UnfaithfulError, match="no IF"):
        with_soft_reset(chain((1,), nir.Scale(np.ones(1))))
    with pytest.raises(UnfaithfulError, match="r is 0"):
        with_soft_reset(chain((1,), cell(1, r=0.0), if_step="per-step"))
    nodes = {"input": source(1), "a": cell(1), "a.v": nir.Scale(np.ones(1)), "output": sink(1)}
    with pytest.raises(UnfaithfulError, match=r"'a\.v'"):
        with_soft_reset(graph(nodes, [("input", "a"), ("a", "a.v"), ("a.v", "output")]))
