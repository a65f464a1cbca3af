"""Chips, thresholds, moved spikes and dense machines, by hand on the facts file's net A."""

from __future__ import annotations

import pytest
from test_energy import ANN, MINE, against, network

from spikeport.benchmarks import energy
from spikeport.benchmarks.energy.estimate import energy_rows, estimate
from spikeport.benchmarks.energy.verdict import compare
from spikeport.benchmarks.report import tables
from spikeport.deploy.loihi.mapper import chip
from spikeport.errors import UsageError

SPIKES = 700


def across(name, model="horowitz45-compute"):
    return compare(network(), ANN, [energy.load(name)], "snn", "ann", energy.load(model))[0]


def test_half_precision_by_hand():
    """112,064 x 1.5 pJ over 78,978 x 0.4 pJ, then with 25,700 updates of 2.3 pJ."""
    _, plain = against("horowitz45-compute")
    assert plain["fp16"].ratio == pytest.approx(168_096 / 31_591.2)
    assert plain["fp16"].break_even == pytest.approx(3.75)
    _, stepped = against("horowitz45-neurons")
    assert stepped["fp16"].ratio == pytest.approx(168_096 / (31_591.2 + 59_110))
    assert stepped["fp16"].break_even == pytest.approx((168_096 - 59_110) / (112_064 * 0.4))


def test_loihi1_takes_its_constants_from_the_mappers_file():
    (costs, _) = chip.load("loihi1").costs
    assert (costs.synop_pj, costs.update_active_pj, costs.update_inactive_pj) == (23.6, 81, 52)
    row = estimate(network(), energy.load("loihi1"))
    assert row.per_sample_pj == pytest.approx(78_978 * 23.6 + 25_700 * 52 + SPIKES * 29)
    assert row.high_pj == pytest.approx(78_978 * 33.6 + 25_700 * 72.8 + SPIKES * 69.3)


def test_a_chip_gets_no_ratio_unless_asked_for():
    result, variants = against("loihi1")
    assert variants == {}
    assert "spiking networks only" in result.verdict
    assert "--cross-technology" in result.verdict


def test_a_ratio_across_technologies_is_marked():
    """The facts file's 0.13: every update active, the ANN in fp32 at 45 nm."""
    result = across("loihi1")
    by_name = {v.variant: v.ratio for v in result.variants}
    assert by_name["Davies 2018, least, updates always active"] == pytest.approx(0.13, abs=0.005)
    assert result.cross_technology == "horowitz45-compute"
    assert result.verdict.startswith("Across technologies, so no like-for-like")
    same = across("horowitz45-compute", "lemaire45-memory")
    assert same.cross_technology is None, "a model that prices both is never mixed"
    with pytest.raises(UsageError, match="no constants for an ANN"):
        across("loihi1", "truenorth")


@pytest.mark.parametrize(
    ("name", "picojoules"),
    [
        ("truenorth", 78_978 * 26),
        ("spinnaker1", 78_978 * 13_300 + 25_700 * 26_000),
        ("spinnaker2", 78_978 * 450 + 25_700 * 2190),
        ("yan2024-qnn22", (78_978 + 25_700 + SPIKES) * 0.05448 + 500 * 3.0),
    ],
)
def test_other_chips_by_hand(name, picojoules):
    assert estimate(network(), energy.load(name)).per_sample_pj == pytest.approx(picojoules)
    assert energy_rows(ANN, [energy.load(name)]) == ()


def test_graded_events_have_no_price_where_only_spikes_do():
    row = estimate(network(mac=5), energy.load("loihi1"))
    assert row.per_sample_pj is None
    assert "graded values" in row.reason
    assert "graded values" in across("truenorth").verdict or across("truenorth").variants


@pytest.mark.parametrize("name", ["loihi2", "akida"])
def test_none_published_is_null_and_says_so(name):
    row = estimate(network(), energy.load(name))
    assert (row.per_sample_pj, row.low_pj, row.high_pj) == (None, None, None)
    assert "no energy per operation" in row.reason
    result, variants = against(name)
    assert variants == {}
    assert result.verdict.startswith("No verdict: no energy per operation")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("davidson-furber2021", "is below the threshold of 1.72"),
        ("dampfhoffer2023", "lies within the threshold of 0.15 to 1.38"),
        ("yan2024-threshold", "is above the threshold of 0.285"),
    ],
)
def test_published_thresholds_stand_beside_the_measured_rate(name, said):
    result, variants = against(name)
    assert variants == {}
    assert said in result.verdict
    assert "At 0.705 spikes per synapse and inference, measured" in result.verdict
    assert "Published" in result.verdict
    assert result.thresholds


def test_a_gpu_runs_both_densely():
    """The fake's dense count is 10^6 products over all steps; spikes do not matter, so there is no break-even."""
    _, variants = against("gpu-h200-floor")
    assert variants["bf16"].snn_pj == pytest.approx(1.42e6)
    assert variants["bf16"].ann_pj == pytest.approx(1.42 * 112_064)
    assert variants["fp32"].break_even is None


def test_a_users_model_stands_beside_the_others(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    names = [model.name for model in energy.with_own([path])]
    assert names == [*energy.available(), "mine"]
    taken = tmp_path / "loihi1.yaml"
    taken.write_text(MINE.replace("name: mine", "name: loihi1"))
    with pytest.raises(UsageError, match="already a model 'loihi1'"):
        energy.with_own([taken])
    with pytest.raises(UsageError, match="no YAML file"):
        energy.with_own([tmp_path / "mine.json"])


def test_the_report_marks_what_is_published_and_what_is_across_technologies():
    import bench_results as bench

    comparisons = compare(
        bench.snn(), bench.ANN, energy.load_all(), "av-digits/snn", "av-digits/ann", energy.load("horowitz45-compute")
    )
    results = bench.results(comparisons=comparisons)
    rows = tables.energy(results).rows
    assert any(row[0] == "dampfhoffer2023" and row[-1] == "0.15 to 1.38 (published)" for row in rows)
    chips = tables.spiking_only(results).rows
    assert ("loihi2", "Intel 4", "-") in {row[:3] for row in chips}
    assert all(row[-1] for row in chips if row[0] == "loihi2")
    for c in comparisons:
        assert (c.cross_technology is None) or c.model not in {e.model for e in bench.results().rows[0].energy}
