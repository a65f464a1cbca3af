"""What quantisation cost a layer equals what is counted by hand in the integers' own records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deploy_nets import currents, inputs, mlp, readout

from spikeport.deploy import backends
from spikeport.deploy.loihi.backend import LoihiBackend, backend
from spikeport.deploy.loihi.losses import HEADER, lines
from spikeport.deploy.loihi.program import LoihiProgram
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.quantised import told_bits, with_weight_bits
from spikeport.errors import UsageError


@pytest.mark.parametrize("make", [mlp, currents, readout])
def test_rates_and_agreement_are_those_of_the_spikes(make) -> None:
    net = make()
    x = inputs(net)
    program = LoihiBackend(WeightBits(3)).lower(net, x)
    ours, theirs = program.run(x), backends.get("reference").lower(net).run(x)
    for name, layer in program.losses().items():
        seen = layer.behaviour
        assert seen is not None
        assert seen.samples == 3
        assert seen.saturated == seen.wrapped == 0
        if ours.nodes[name].dtype != np.uint8:
            assert seen.rate_float is seen.rate_integers is seen.jaccard is None
            continue
        a, b = ours.aligned(name) != 0, theirs.aligned(name) != 0
        assert seen.rate_integers == a.mean()
        assert seen.rate_float == b.mean()
        assert seen.jaccard == (a & b).sum() / (a | b).sum()


def test_saturation_is_the_share_of_v_at_its_limits() -> None:
    net = mlp()
    x = inputs(net)
    quantised = backend.lower(net, x).quantised
    # Without decay and far below its threshold v only falls.
    held = [
        replace(layer, dv_N=0 * layer.dv_N, bias_mant=np.full_like(layer.bias_mant, -4095), bias_exp=7)
        for layer in quantised.layers
    ]
    assert quantised.observed is not None
    long = {"x": np.tile(quantised.observed.inputs["x"], (4, 1, 1))}
    spikes = {name: np.tile(s, (4, 1, 1)) for name, s in quantised.observed.spikes.items()}
    program = LoihiProgram(
        net, replace(quantised, layers=held, observed=replace(quantised.observed, inputs=long, spikes=spikes))
    )
    v = program.records(long, v=("h", "y")).v
    for name, layer in program.losses().items():
        assert layer.behaviour is not None
        held_entries = np.abs(v[name]) == 2**23 - 1
        assert layer.behaviour.saturated == pytest.approx(held_entries.mean(), abs=0.1)
        assert layer.behaviour.saturated > 0.3


def test_without_samples_no_behaviour_is_claimed() -> None:
    layers = backend.lower(mlp()).losses()
    assert all(layer.behaviour is None and layer.headroom is None for layer in layers.values())
    assert lines(layers)[1].split()[-1] == "-"


def test_the_table_has_a_line_a_layer() -> None:
    net = mlp()
    table = lines(backend.lower(net, inputs(net)).losses())
    assert table[0].split("  ")[0] == HEADER[0]
    assert [line.split()[0] for line in table[1:]] == ["h", "y"]


def test_losses_are_saved(tmp_path: Path) -> None:
    net = mlp()
    program = LoihiBackend(WeightBits(8, {"y": 4})).lower(net, inputs(net))
    program.save(tmp_path)
    saved = json.loads((tmp_path / "quantisation.json").read_text("utf-8"))
    assert saved == {name: layer.model_dump() for name, layer in program.losses().items()}
    assert told_bits(program.losses()) == "h=8,y=4"
    assert told_bits(backend.lower(net).losses()) == 8


def test_a_backend_without_integers_takes_no_bits() -> None:
    reference = backends.get("reference")
    assert with_weight_bits(reference, None) is reference
    with pytest.raises(UsageError, match="'reference' does not quantise"):
        with_weight_bits(reference, WeightBits(4))
    for name in ("loihi", "lava-fixed"):
        assert with_weight_bits(backends.get(name), WeightBits(4)).name == name
