"""What passes between chip and host, by hand; sparsity and state traffic of the counts block."""

from __future__ import annotations

import bench_results as bench
import nir
import numpy as np
import pytest
import snntorch
import torch
from pydantic import ValidationError
from torch import nn

from spikeport.benchmarks.counting.crossings import CrossingCounts, count_crossings
from spikeport.benchmarks.counting.footprint import footprint
from spikeport.benchmarks.counting.layers import DenseLayer
from spikeport.benchmarks.counting.network import NetworkCounts, snn_block
from spikeport.benchmarks.counting.stage import count_stage
from spikeport.benchmarks.report import render_html, render_markdown, tables
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.recording import FLOAT64, Recording
from spikeport.export.stages import ChipStage, HostStage, StagedNetwork, TensorRegister
from spikeport.models.state import reset_state

T, B = 3, 2


def chip(name, inputs, outputs):
    graph = ChipGraph.from_nir(
        nir.NIRGraph(
            {
                "in": nir.Input({"input": np.array([2])}),
                "fc": nir.Linear(np.array([[1.0, 0.0], [0.0, 1.0]])),
                "lif": nir.CubaLIF(
                    *(np.full(2, x) for x in (1e-3, 1e-3, 1.0, 0.0, 0.5)), v_reset=np.zeros(2), w_in=np.ones(2)
                ),
                "out": nir.Output({"output": np.array([2])}),
            },
            [("in", "fc"), ("fc", "lif"), ("lif", "out")],
        ),
        1e-3,
    )
    return ChipStage(name, graph, {"in": inputs}, {"out": outputs})


def host(name, inputs, outputs, path):
    return HostStage(name, path, "step", {"x": inputs}, {"y": outputs}, T, 4, 2, 2)


def recording(values_TBN):
    return Recording({"out": values_TBN}, {"out": 0}, T, FLOAT64)


def test_every_tensor_between_chip_and_host_crosses_once_a_way(tmp_path):
    """Input -> chip a -> host -> chip b -> answer; b's spikes also come back to the host one step later."""
    stages = (
        chip("a", "x", "s"),
        host("mix", "s", "m", tmp_path),
        HostStage("late", tmp_path, "step", {"s": "s", "before": "back"}, {}, T, 4, 2, 2),
        chip("b", "m", "answer"),
        chip("c", "m", "unread"),
    )
    network = StagedNetwork(
        "n", 1e-3, {"x": (2,)}, ("answer",), "answer", stages, (TensorRegister("back", "answer", (2,)),)
    )
    x, m = np.zeros((T, B, 2)), np.zeros((T, B, 2))
    x[0, 0, 0] = x[2, 1, 1] = 1
    m[1] = [[-0.5, 2.0], [0.0, 1.0]]
    spikes = np.ones((T, B, 2), dtype=np.uint8)
    spikes[0] = 0
    found = count_crossings(
        network,
        {"a": {"in": x}, "b": {"in": m}, "c": {"in": m}},
        {"a": recording(spikes), "b": recording(spikes[:, :, ::-1]), "c": recording(spikes)},
    )
    assert set(found) == {
        CrossingCounts("x", "chip", "input", ("a",), 12, 2),
        CrossingCounts("m", "chip", "mix", ("b", "c"), 12, 3),
        CrossingCounts("s", "host", "a", ("mix", "late"), 12, 8),
        CrossingCounts("answer", "host", "b", ("late", "output"), 12, 8),
    }


def test_a_tensor_between_two_chip_stages_does_not_cross():
    network = StagedNetwork("n", 1e-3, {"x": (2,)}, ("y",), "y", (chip("a", "x", "s"), chip("b", "s", "y")))
    ones = np.ones((T, B, 2))
    found = count_crossings(network, {"a": {"in": ones}, "b": {"in": ones}}, dict.fromkeys("ab", recording(ones)))
    assert [(c.tensor, c.to) for c in found] == [("x", "chip"), ("y", "host")]


def test_a_register_from_chip_to_chip_does_not_cross():
    """The tensor that a reads is b's of the step before: it never leaves the chip."""
    stages = (chip("a", "back", "s"), chip("b", "s", "y"))
    network = StagedNetwork("n", 1e-3, {}, (), "", stages, (TensorRegister("back", "y", (2,)),))
    ones = np.ones((T, B, 2))
    assert count_crossings(network, {"a": {"in": ones}, "b": {"in": ones}}, dict.fromkeys("ab", recording(ones))) == ()


def test_the_block_has_means_and_reasons(tmp_path):
    """4 of 2 x 2 weights of fc, two of them 0, and a readout with 1 zero of 4; CubaLIF has two state variables."""
    stage = chip("core", "x", "y")
    x = np.ones((T, B, 2))
    counted = count_stage(stage.graph, {"in": x}, run(stage.graph, {"in": x}))
    readout = DenseLayer("readout", "linear", 4, 1, 4, 2, 2, zero_weights=1)
    crossing = CrossingCounts("x", "chip", "input", ("core",), 12, 8)
    block = snn_block(NetworkCounts({"core": counted}, (readout,), (crossing,)))
    assert block.weight_sparsity == (2 + 1) / (4 + 4)
    assert block.per_sample.state_accesses == 2 * 2 * 2 * T, "two variables, read and written, 2 neurons, T steps"
    assert block.per_sample.crossings_to_chip == 4
    assert block.per_sample.crossings_to_host == 0
    assert (block.crossings[0].elements, block.crossings[0].dense_bytes) == (6, 24)
    rate = counted.spikes / (2 * B * T)
    assert block.activation_sparsity == 1 - rate
    assert not block.missing

    unknown = snn_block(NetworkCounts({"core": counted}, (DenseLayer.linear("readout", 2, 2),)))
    assert unknown.weight_sparsity is unknown.per_sample.crossings_to_chip is None
    assert unknown.missing["weight_sparsity"] == "the weights of readout were not seen"
    assert "not kept" in unknown.missing["crossings_to_host"]
    with pytest.raises(ValidationError, match="'weight_sparsity' is null without a reason"):
        type(unknown)(
            **(unknown.model_dump() | {"missing": dict.fromkeys(("crossings_to_chip", "crossings_to_host"), "x")})
        )


def test_the_footprint_does_not_grow_with_the_batch():
    """4 x 3 + 4 parameters; two state variables of 4 neurons; beta, alpha, threshold and more are buffers."""
    model = nn.Sequential(nn.Linear(3, 4), snntorch.Synaptic(alpha=0.5, beta=0.5, init_hidden=True))
    for batch in (1, 7):
        reset_state(model)
        model(torch.ones(batch, 3))
        found = footprint(model, batch)
        assert (found.parameters, found.parameter_bytes, found.state_bytes) == (16, 64, 2 * 4 * 4)
        assert found.buffer_bytes < 64
    with pytest.raises(UnfaithfulError, match="not that of 3 samples"):
        footprint(model, 3)


def test_crossings_stand_in_every_report():
    results = bench.results()
    for text in (render_html(results), render_markdown(results)):
        assert "dense bytes" in text
        assert "zero weights" in text
    assert [row[1:4] for row in tables.crossings(results).rows[:2]] == [
        ("image", "input", "core"),
        ("spikes", "core", "readout"),
    ]
