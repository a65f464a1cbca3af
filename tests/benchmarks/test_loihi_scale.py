"""The engine's growth: what is measured, and a million neurons within the memory of a workstation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikeport.benchmarks import loihi_scale
from spikeport.benchmarks.loihi_scale import FAN_IN, drawn_network, growth, main, measure


@pytest.mark.parametrize("exponent", [1.0, 1.5])
def test_the_growth_is_the_exponent(exponent: float) -> None:
    rows = [{"neurons": float(n), "ms_per_step": 0.3 * n**exponent} for n in (100, 1000, 5000)]
    assert growth(rows) == pytest.approx(exponent)


@pytest.mark.parametrize("reach", [500, 2000])
def test_every_neuron_has_its_fan_in_within_reach(reach: int) -> None:
    network = drawn_network(4000, reach)
    for synapses in network.synapses:
        np.testing.assert_array_equal(np.diff(synapses.weight.indptr), FAN_IN)
        columns = synapses.weight.indices.reshape(-1, FAN_IN)
        assert np.all(np.diff(columns, axis=1) > 0)
        assert columns.min() >= 0
        assert columns.max() < 2000
        assert (columns[:, -1] - columns[:, 0]).max() < reach


def test_the_table_and_the_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loihi_scale, "SIZES", (2000, 4000))
    monkeypatch.setattr(loihi_scale, "_in_a_child", measure)
    main(["--html", str(tmp_path / "scale.html")])
    shown = capsys.readouterr().out
    assert "random: time per step grows as neurons^" in shown
    assert "400,000" in shown
    assert "ms per step" in (tmp_path / "scale.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_million_neurons_within_twenty_gigabytes() -> None:
    figures = loihi_scale._in_a_child(1_000_000, 10_000)
    assert figures["synapses"] == 100_000_000
    assert figures["peak_gb"] < 20
    assert figures["activity"] > 0.02
