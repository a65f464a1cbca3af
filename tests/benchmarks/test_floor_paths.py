"""`--floor` into lists and into nodes whose names hold dots, and ceilings for costs."""

from __future__ import annotations

import bench_results as bench
import pytest

from spikeport.benchmarks.results import Results
from spikeport.cli.floors import Floor, figure


def results_row():
    """A row with every figure, without a network."""
    return bench.row("snn", "snn", bench.snn())


def test_energy_is_gated_by_its_model_and_costs_by_a_ceiling(capsys):
    row = results_row()
    (cost,) = (e.high_pj for e in row.energy if e.model == "horowitz45-compute")
    found = Results(created="", spikeport="", git=None, environment={}, rows=(row,))
    path = "energy.horowitz45-compute.high_pj"
    for text, missed in (
        (f"{path}<={cost}", False),
        (f"{path}<={0.999 * cost}", True),
        (f"{path}>={cost}", False),
        (f"{path}={1.001 * cost}", True),
        ("energy.loihi2.high_pj<=1", True),
        ("energy.loihi9.high_pj<=1", True),
        ("counts.crossings.spikes.nonzero<=310", False),
    ):
        assert Floor.parse(text).misses(found) == missed, text
    said = capsys.readouterr().err
    assert f"{path} is {cost:.6g}, above {0.999 * cost:g}" in said
    assert "unknown, not below 1: no energy per operation is published for Loihi 2" in said
    assert "energy has akida, " in said


def test_a_node_with_dots_in_its_name_is_addressed_whole():
    row = results_row()
    nodes = {f"core.{name}.lif": node for name, node in row.counts.per_node.items()}
    row = row.model_copy(update={"counts": row.counts.model_copy(update={"per_node": nodes})})
    value, _ = figure(row, "counts.per_node.core.fused_lif.lif.rate")
    assert value == pytest.approx(310 / (128 * 16))
    assert figure(row, "counts.per_node.core.lif.rate")[1].startswith("counts.per_node has core.")


def test_what_two_entries_share_is_unknown():
    row = results_row()
    twice = row.counts.model_copy(update={"crossings": (row.counts.crossings[0],) * 2})
    value, reason = figure(row.model_copy(update={"counts": twice}), "counts.crossings.image.nonzero")
    assert value is None
    assert "2 entries" in reason
