"""Energy by hand, on the facts file's net A: 78,978 AC, 112,064 ANN MAC, 25,700 updates."""

from __future__ import annotations

import subprocess
import sys

import pytest

from spikeport.benchmarks import energy
from spikeport.benchmarks.counting.layers import AnnCounts, DenseLayer
from spikeport.benchmarks.counting.network import NetworkCounts, snn_block, stage_shares
from spikeport.benchmarks.counting.stage import NeuronCounts, StageCounts, SynapseCounts
from spikeport.benchmarks.energy.estimate import energy_rows, estimate
from spikeport.benchmarks.energy.verdict import compare
from spikeport.errors import ArtefactError, UsageError

ANN = AnnCounts(1, (DenseLayer("all", "conv", 112_064, 1, 1000, 512, 10),))


def network(ac=78_978, mac=0, updates=25_700, samples=1, host=(), weights=1000):
    synapses = {"w": SynapseCounts(True, 500, ac * samples, mac * samples, 10**6, weights, 0, 2570)}
    neurons = {"lif": NeuronCounts(2570, updates * samples, 700 * samples, updates * samples, 1)}
    return NetworkCounts({"core": StageCounts(samples, 10, neurons, synapses, {})}, host)


def against(name, snn=None, ann=ANN):
    (result,) = compare(snn or network(), ann, [energy.load(name)], "snn", "ann")
    return result, {v.variant: v for v in result.variants}


def test_arithmetic_only_by_hand():
    result, by_name = against("horowitz45-compute")
    assert by_name["fp32"].ratio == pytest.approx(7.25, abs=0.005)
    assert by_name["int8"].ratio == pytest.approx(10.9, abs=0.05)
    assert result.spikes_per_synapse == pytest.approx(0.705, abs=0.0005)
    assert by_name["fp32"].break_even == pytest.approx(5.11, abs=0.005)


def test_neuron_updates_by_hand():
    result, by_name = against("horowitz45-neurons")
    assert by_name["fp32"].ratio == pytest.approx(2.19, abs=0.005)
    assert by_name["int8 synapses, int32 neurons"].ratio == pytest.approx(0.29, abs=0.005)
    assert by_name["fp32"].break_even == pytest.approx(3.48, abs=0.01)
    assert by_name["int8 synapses, int32 neurons"].break_even < 0
    assert "at no spike rate" in result.verdict


def test_estimate_is_a_range_around_the_nominal_variant():
    row = estimate(network(samples=4), energy.load("horowitz45-compute"))
    assert row.low_pj == pytest.approx(78_978 * 0.03)
    assert row.high_pj == row.per_sample_pj == pytest.approx(78_978 * 0.9)
    assert "ISSCC 2014" in row.source
    assert any("neuron" in text for text in row.leaves_out)


def test_memory_by_hand():
    """One word per access; every buffer but the weights' is below 8 KiB (10 pJ) or 2570 words."""
    model = energy.load("lemaire45-memory")
    variant = {v.name: v for v in model.variants}["one word per access"]
    memory = variant.memory
    potential = 10 + (20 - 10) * (2570 * 4 - 8192) / (32768 - 8192)
    assert memory.access_pj(2570) == pytest.approx(potential)
    assert memory.access_pj(1000) == 10
    assert memory.access_pj(262_144) == 100
    row = estimate(network(ac=1000, updates=10), model)
    synapses = 1000 * (0.1 + 10 + 2 * potential + 0.1) + 500 * (10 + 2 * 3.2)
    neurons = 700 * 10 + 10 * (3.4 + 2 * potential)
    assert row.per_sample_pj == pytest.approx(synapses + neurons)
    dense = estimate(AnnCounts(1, (DenseLayer("fc", "linear", 2560, 2, 2560, 256, 10),)), model)
    weights = memory.access_pj(2560)
    assert dense.per_sample_pj == pytest.approx(2 * (2560 * (3.2 + weights + 0.1) + 256 * 10 + 10 * 10))


def test_a_buffer_beyond_the_table_is_null_with_its_reason():
    snn = network(weights=300_000)
    row = estimate(snn, energy.load("lemaire45-memory"))
    assert row.per_sample_pj is None
    assert "1200000 bytes" in row.reason
    result, by_name = against("lemaire45-memory", snn)
    assert by_name == {}
    assert "No verdict" in result.verdict


def test_host_layers_cost_the_same_on_both_sides():
    readout = DenseLayer.linear("readout", 128, 10)
    with_host = network(host=(readout,))
    model = energy.load("horowitz45-compute")
    extra = estimate(with_host, model).per_sample_pj - estimate(network(), model).per_sample_pj
    assert extra == pytest.approx(1280 * 4.6)
    chip, host = stage_shares(with_host)
    assert host.share_of_ops == pytest.approx(1280 / (1280 + 78_978))
    assert chip.share_of_ops + host.share_of_ops == pytest.approx(1)
    assert snn_block(with_host).per_sample.synops_mac == 1280


def test_what_a_host_layers_macs_leave_out_is_listed():
    cell = DenseLayer("host_1", "linear", 512, 25, 512, 24, 24, not_counted=("Sigmoid", "Tanh"))
    (missing,) = (entry for entry in snn_block(network(host=(cell,))).not_counted if entry.name == "host_1")
    assert missing.reason.endswith("Sigmoid, Tanh")


def test_silent_network_has_no_break_even():
    result, by_name = against("horowitz45-neurons", network(ac=0))
    assert all(v.break_even is None for v in by_name.values())
    assert "breaks even" not in result.verdict


def test_network_that_costs_nothing_gets_no_verdict():
    result, _ = against("horowitz45-compute", network(ac=0))
    assert result.variants == ()
    assert "did nothing" in result.verdict


def test_every_shipped_model_is_valid_and_cited():
    assert len(energy.available()) >= 14
    for model in energy.load_all():
        assert len(model.citation) > 30
        assert len(energy_rows(network(), [model])) == (0 if model.thresholds else 1)
        assert len(energy_rows(ANN, [model])) == (model.prices == "both" and not model.thresholds)
        assert any(v.name == model.nominal for v in model.variants) == bool(model.variants)
        assert model.variants or model.thresholds or model.none_published


MINE = """
name: mine
title: my chip
assumes: my chip is as I say
technology: 7 nm
citation: me
confidence: a guess
leaves_out: [everything else]
nominal: only
variants: [{name: only, ac_pj: 2, mac_pj: 4}]
"""


def test_a_users_own_model(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    assert estimate(network(), energy.load(path)).per_sample_pj == 2 * 78_978


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("ac_pj: 2", "ac_pj: -2"), "ac_pj"),
        (("ac_pj: 2", "ac_pj: .nan"), "ac_pj"),
        (("leaves_out: [everything else]", "leaves_out: []"), "leaves_out"),
        (("title:", "titel:"), "titl|titel"),
        (("nominal: only", "nominal: other"), "nominal 'other'"),
        (("name: mine", "name: yours"), "calls itself 'yours'"),
        (("name: mine", "name: [mine"), "not YAML"),
        (("name: mine", "name: mine\nname: mine"), "duplicate"),
        (("ac_pj: 2", "event_pj: 2"), "ac_pj is missing"),
        (("mac_pj: 4", "update_pj: 4"), "has no mac_pj: give one, or say `prices: spiking`"),
        (("variants: [{name: only, ac_pj: 2, mac_pj: 4}]", ""), "needs one of variants"),
        (("nominal: only", "nominal: only\nchip: loihi1"), "needs one of variants"),
        (("nominal: only\nvariants: [{name: only, ac_pj: 2, mac_pj: 4}]", "chip: loihi3"), "no such chip"),
        (("ac_pj: 2, mac_pj: 4", "dense: true"), "skips no zero"),
    ],
)
def test_a_bad_model_file_is_refused(tmp_path, change, match):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE.replace(*change))
    with pytest.raises(ArtefactError, match=match):
        energy.load(path)


def test_unknown_names_and_paths():
    with pytest.raises(UsageError, match="Did you mean 'horowitz45-compute'"):
        energy.load("horowitz45-comput")
    with pytest.raises(ArtefactError, match="no such file"):
        energy.load("nowhere.yaml")


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from spikeport.benchmarks import energy; assert energy.available();"
        "print(sorted({'torch', 'nir', 'numpy', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
