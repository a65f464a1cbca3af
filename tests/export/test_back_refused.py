"""NIR graphs that snnTorch has no form for, refused by name."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from back_nets import loop_of, weight
from export_nets import DT, chain, graph, li, lif, sink, source

from spikeport.errors import UnfaithfulError
from spikeport.export.back import to_snntorch
from spikeport.export.graph import ChipGraph


@pytest.mark.parametrize(
    ("chip", "said"),
    [
        (chain((4,), lif(4, leak=0.5)), "v_leak is 0.5"),
        (chain((4,), li(4, leak=0.5)), "v_leak is 0.5"),
        (chain((4,), lif(4, reset=-0.5)), "v_reset is -0.5"),
        (chain((4,), nir.Delay(np.full(4, 2 * DT)), lif(4)), "delays by 2 steps"),
        (loop_of(nir.Linear(weight(4, 4)), nir.Scale(np.ones(4))), "b0"),
        (loop_of(nir.Linear(weight(4, 4)), neuron=li(4)), "register edge"),
        (loop_of(nir.Linear(weight(4, 4)), lif(4)), "register edge"),
        (
            loop_of(
                nir.Linear(weight(4, 4)),
                neuron=nir.CubaLIF(np.full(4, 3e-3), np.full(4, 3e-3), np.ones(4), np.zeros(4), np.ones(4)),
            ),
            "RSynaptic",
        ),
    ],
    ids=["leak", "leak-value", "reset", "delay", "two-ops", "value-loop", "two-neurons", "cuba-loop"],
)  # fmt: skip
def test_what_snntorch_has_no_form_for_is_refused(chip: ChipGraph, said: str) -> None:
    with pytest.raises(UnfaithfulError) as caught:
        to_snntorch(chip)
    assert said in str(caught.value)
    assert caught.value.fix


def test_two_ways_back_and_a_neuron_that_only_hears_itself_are_refused() -> None:
    nodes = {"x": source(4), "n": lif(4), "a": nir.Linear(weight(4, 4)), "b": nir.Scale(np.ones(4)), "y": sink(4)}
    loops = [("n", "a"), ("a", "n"), ("n", "b"), ("b", "n"), ("n", "y")]
    with pytest.raises(UnfaithfulError, match="over 2 ways"):
        to_snntorch(graph(nodes, [("x", "n"), *loops], [("n", "a"), ("n", "b")]))
    alone = {k: nodes[k] for k in ("n", "b", "y", "x")} | {"z": sink(4)}
    chip = graph(alone, [("n", "b"), ("b", "n"), ("n", "y"), ("x", "z")], [("n", "b")])
    with pytest.raises(UnfaithfulError, match="its own loop"):
        to_snntorch(chip)


def test_a_driven_recurrence_needs_one_factor_an_output() -> None:
    tau = np.full((2, 3, 3), 2e-3)
    tau[0, 0, 0] = 5e-3
    neuron = nir.LIF(tau, np.ones_like(tau), 0 * tau, np.ones_like(tau))
    conv = nir.Conv2d((3, 3), weight(2, 2, 1, 1), 1, 0, 1, 1, np.zeros(2))
    nodes = {"x": source(2, 3, 3), "n": neuron, "b": conv, "y": sink(2, 3, 3)}
    with pytest.raises(UnfaithfulError, match="r = tau / dt"):
        to_snntorch(graph(nodes, [("x", "n"), ("n", "y"), ("n", "b"), ("b", "n")], [("n", "b")]))
