"""A neuron that NIR writes as several nodes is one: counted in the torch model and in its export alike."""

from __future__ import annotations

from pathlib import Path

import bench_nets as nets
import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch_nets import Stepped, count, spikes

from spikeport.benchmarks.counting.parts import parts_of
from spikeport.benchmarks.counting.stage import count_stage
from spikeport.export.call import export
from spikeport.export.interpreter import run

NEURONS = {
    "subtract": lambda: snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True),
    "none": lambda: snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True, reset_mechanism="none"),
    "zero": lambda: snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True, reset_mechanism="zero", reset_delay=False),
    "integrates": lambda: snn.Leaky(beta=1.0, threshold=0.3, init_hidden=True),
    "synaptic": lambda: snn.Synaptic(alpha=0.8, beta=0.9, threshold=0.3, init_hidden=True),
}


@pytest.mark.parametrize("kind", NEURONS)
def test_the_torch_model_and_its_export_cost_the_same(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Linear(12, 9), NEURONS[kind](), nn.Linear(9, 4), NEURONS[kind]()).eval()
    x_BTN = spikes(5, 8, 12, p=0.5)
    counted = count(Stepped(*layers).eval(), x_BTN)
    bundle = export(layers, x_BTN.transpose(0, 1), 1e-3, tmp_path / "n.bundle")
    (core,) = bundle.network.chips
    inputs = {name: x_BTN.transpose(0, 1).numpy() for name in core.graph.inputs}
    staged = count_stage(core.graph, inputs, run(core.graph, inputs))
    assert (staged.synops_ac, staged.synops_mac) == (counted.synops_ac, counted.synops_mac)
    assert staged.dense_macs == counted.dense_macs
    assert staged.spikes == counted.spikes > 0
    assert staged.neuron_updates == counted.neuron_updates == 5 * 8 * 13


def soft(scale: float, tau: float = 2e-3) -> nir.NIRGraph:
    one = np.ones(3)
    nodes = {
        "in": nets.source(3),
        "v": nir.LI(tau=tau * one, r=one, v_leak=0 * one),
        "s": nir.Threshold(0.5 * one),
        "back": nir.Scale(scale * one),
        "out": nets.sink(3),
    }
    return nodes, [("in", "v"), ("v", "s"), ("s", "back"), ("back", "v"), ("s", "out")]


def test_only_a_scale_that_takes_the_threshold_is_a_reset() -> None:
    """g = dt / tau = 1/2, so that -1 takes 0.5 from v; any other weight is a synapse to itself."""
    x = {"in": np.ones((4, 2, 3))}
    reset, synapse = (nets.graph(*soft(scale)) for scale in (-1.0, -0.9))
    assert parts_of(reset).resets == {"back"}
    assert parts_of(synapse).resets == frozenset()
    without, with_ = (count_stage(graph, x, run(graph, x)) for graph in (reset, synapse))
    assert set(without.synapses) == set()
    assert 0 < with_.synapses["back"].ac < with_.spikes
    for counts in (without, with_):
        assert counts.neuron_updates == 4 * 2 * 3
        assert counts.neurons["s"].emitted == 4 * 2 * 3
        assert counts.neurons["v"].variables == 1


def test_a_second_integrator_in_a_row_is_a_state_variable_more() -> None:
    nodes, edges = soft(-1.0)
    nodes["i"] = nir.LI(tau=np.full(3, 5e-3), r=np.ones(3), v_leak=np.zeros(3))
    graph = nets.graph(nodes, [("in", "i"), ("i", "v"), *edges[1:]])
    assert parts_of(graph).variables == {"v": 2}
    x = {"in": np.ones((4, 2, 3))}
    counts = count_stage(graph, x, run(graph, x))
    assert counts.neuron_updates == 4 * 2 * 3
    assert counts.state_accesses == 2 * 2 * 4 * 2 * 3


def test_a_membrane_that_others_read_is_a_neuron_of_its_own() -> None:
    one = np.ones(3)
    nodes = {
        "in": nets.source(3),
        "a": nir.LI(tau=2e-3 * one, r=one, v_leak=0 * one),
        "b": nir.LI(tau=2e-3 * one, r=one, v_leak=0 * one),
        "c": nir.LI(tau=2e-3 * one, r=one, v_leak=0 * one),
        "out": nets.sink(3),
    }
    graph = nets.graph(nodes, [("in", "a"), ("a", "b"), ("a", "c"), ("b", "out"), ("c", "out")])
    assert parts_of(graph).variables == {"a": 1, "b": 1, "c": 1}
