"""Quantising a stage: bits by layer, what the report says, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest
from deploy_nets import DT, affine, chain, inputs, lif, mlp, sink, source, two_branches
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from spikeport.deploy.hops import RefusedError
from spikeport.deploy.loihi.backend import backend
from spikeport.deploy.loihi.quantise import QuantisedStage, quantise
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.errors import UsageError
from spikeport.export.graph import ChipGraph
from spikeport.weight_grid import levels, stored_step


def own_parameters() -> ChipGraph:
    """Two layers whose neurons have decays and thresholds of their own."""
    layers = []
    for n in (30, 10):
        tau = np.linspace(2, 40, n) * DT
        layers.append(nir.LIF(tau=tau, r=tau / DT, v_leak=np.zeros(n), v_threshold=np.linspace(0.3, 2.2, n)))
    return chain(x=source(20), a=affine(20, 30, 0), h=layers[0], b=affine(30, 10, 1), y=layers[1], out=sink(10))


NETS = [mlp, two_branches, own_parameters]


def float_weights(quantised: QuantisedStage) -> list[tuple[csr_array, csr_array, NDArray[np.float64], int]]:
    """Return (in float, what the integers stand for, unit [N, 1], bits) of every hop.

    What they stand for is found by sending 1 through the integers' own rules: an input sends `input scale` for 1,
    64 x 2^exponent of the sum reaches u, and u is the neuron's S for 1.
    """
    layers = {x.layer.name: x for x in quantised.layers}
    found = []
    for hop in quantised.hops:
        layer = layers[hop.hop.target]
        one = quantised.input_scales.get(hop.hop.source, 1.0)
        u_for_one = 64 * 2.0**hop.weight_exp * one
        bits = layer.weight_bits
        least_step = {8: 2, 7: 4, 6: 8, 5: 16, 4: 32, 3: 64, 2: 128, 1: 128}[bits]
        meant = csr_array(diags_array(u_for_one / layer.scale_N) @ hop.weight)
        found.append((hop.hop.weight, meant, least_step * u_for_one / layer.scale_N[:, None], bits))
    return found


def graded(net: ChipGraph) -> dict[str, NDArray[np.float64]]:
    g = np.random.default_rng(3)
    return {name: g.normal(size=x.shape) for name, x in inputs(net).items()}


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("sample", [inputs, graded])
@pytest.mark.parametrize("make", NETS)
def test_every_weight_is_the_nearest_of_its_levels(make, sample, bits: int) -> None:
    net = make()
    for weight, meant, unit, _ in float_weights(quantise(net, sample(net), bits)):
        values, stored = weight.toarray(), meant.toarray()
        low, high = (np.broadcast_to(level * unit, values.shape) for level in levels(bits))
        inside = (values != 0) & (values >= low) & (values <= high)
        half = np.broadcast_to(unit if bits == 1 else unit / 2, values.shape)
        assert np.all((np.abs(values - stored) <= half * (1 + 1e-9))[inside])
        np.testing.assert_allclose(stored[values > high], high[values > high])
        np.testing.assert_allclose(stored[values < low], low[values < low])
        assert not np.any(stored[values == 0])


@pytest.mark.parametrize("bits", range(1, 9))
def test_stored_weights_are_even_and_leave_the_low_bits(bits: int) -> None:
    net = mlp()
    for hop in quantise(net, inputs(net), bits).hops:
        assert not np.any(hop.weight.data % stored_step(bits))
        assert hop.weight.data.min() >= -256
        assert hop.weight.data.max() <= 254
        if bits == 1:
            assert set(np.abs(hop.weight.data)) == {128}


@pytest.mark.parametrize("sample", [inputs, graded])
@pytest.mark.parametrize("make", NETS)
def test_the_report_is_what_the_integers_say(make, sample) -> None:
    net = make()
    quantised = quantise(net, sample(net), WeightBits(5, {"y": 3}))
    largest = {name: quantised.input_limits.get(name, 1) for name in [hop.hop.source for hop in quantised.hops]}
    hops = [
        (largest[hop.hop.source] * weight, largest[hop.hop.source] * meant)
        for hop, (weight, meant, *_) in zip(quantised.hops, float_weights(quantised), strict=True)
    ]
    for layer in quantised.layers:
        report = quantised.reports[layer.layer.name]
        mine = [w for w, hop in zip(hops, quantised.hops, strict=True) if hop.hop.target == layer.layer.name]
        error = np.concatenate([(meant - weight).toarray().ravel() for weight, meant in mine])
        weight = np.concatenate([weight.toarray().ravel() for weight, _ in mine])
        assert report.weight_bits == layer.weight_bits == (3 if layer.layer.name == "y" else 5)
        assert report.weight_error == pytest.approx(np.abs(error).max() / np.abs(weight).max())
        assert report.weight_error_rms == pytest.approx(np.linalg.norm(error) / np.linalg.norm(weight))
        sources = {hop.hop.source for hop in quantised.hops if hop.hop.target == layer.layer.name}
        steps = [0.5 / quantised.input_scales[n] / largest[n] for n in sources if n in quantised.input_scales]
        assert report.input_error == pytest.approx(max(steps, default=0))
        bias = layer.bias_mant * 2.0**layer.bias_exp / layer.scale_N
        cell = layer.layer.cell
        assert report.bias_error == pytest.approx((np.abs(bias - layer.layer.bias) / cell.threshold_N).max())
        assert report.decay_error == pytest.approx(np.abs(layer.dv_N / 4096 / cell.dv_N - 1).max())


def test_more_bits_bring_the_weights_nearer() -> None:
    net = mlp()
    reports = [quantise(net, inputs(net), bits).reports for bits in range(1, 9)]
    for fewer, more in pairwise(reports):
        # The scale is then moved to a whole threshold, which is why it is not exactly so.
        assert all(more[name].weight_error_rms <= 1.01 * fewer[name].weight_error_rms for name in more)


def test_a_scale_that_v_limits_costs_no_level_as_long_as_the_shift_is_exact() -> None:
    net = chain(x=source(20), a=affine(20, 10, 0), n=nir.IF(np.ones(10), np.full(10, 0.05)), out=sink(10))
    wide = {"x": np.tile(inputs(net)["x"], (40, 1, 1))}
    quantised = quantise(net, wide)
    (hop,) = quantised.hops
    assert hop.weight_exp < 0
    assert np.abs(hop.weight.data).max() > 126


def test_a_node_called_like_a_number_is_no_constant() -> None:
    renamed = chain(**{"x": source(20), "0": affine(20, 30, 0), "1": lif(30), "2": affine(30, 10, 1), "3": lif(10)},
                    out=sink(10))  # fmt: skip
    named = chain(x=source(20), a=affine(20, 30, 0), h=lif(30), b=affine(30, 10, 1), y=lif(10), out=sink(10))
    x = inputs(named)
    ours, theirs = backend.lower(renamed, x).run(x), backend.lower(named, x).run(x)
    assert theirs.nodes["y"].any()
    np.testing.assert_array_equal(ours.nodes["3"], theirs.nodes["y"])


def test_counts_may_be_higher_than_those_seen_and_spikes_may_not() -> None:
    net = mlp()
    x = inputs(net)
    counts = backend.lower(net, {"x": x["x"] * 2})
    counts.run({"x": x["x"] * 3})
    with pytest.raises(UsageError, match="at most 4"):
        counts.run({"x": x["x"] * 5})
    with pytest.raises(UsageError, match="at most 1"):
        backend.lower(net, x).run({"x": x["x"] * 2})


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(UsageError, match="1 to 8 bits"):
        quantise(mlp(), None, bits)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="'hh'") as caught:
        quantise(mlp(), None, WeightBits(8, {"hh": 4}))
    assert "'h'" in caught.value.fix


def test_bits_are_read_as_they_are_written() -> None:
    assert WeightBits.parse("4") == WeightBits(4)
    assert WeightBits.parse("h=4,y=2") == WeightBits(8, {"h": 4, "y": 2})
    assert WeightBits.parse("6,h=4") == WeightBits(6, {"h": 4})
    for text in ("", "h", "=4", "h=", "4.5", "h=x", "9"):
        with pytest.raises(UsageError):
            WeightBits.parse(text)


def test_weights_that_the_bias_leaves_no_level_are_refused_at_every_width() -> None:
    net: ChipGraph = chain(
        x=source(20), n1=nir.Affine(np.full((10, 20), 1e-4), np.full(10, 50.0)), n=lif(10), out=sink(10)
    )
    for bits in (8, 4):
        with pytest.raises(RefusedError, match="13-bit bias") as caught:
            quantise(net, None, bits)
        assert caught.value.node == "n"
        assert caught.value.fix
