"""Accuracy over the width of the weights: the table, what is refused, and the measurement's floors."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikeport.benchmarks.statistics import paired_difference
from spikeport.benchmarks.weight_bits import Score, main, measure, table


def test_the_table_sets_both_ways_side_by_side() -> None:
    paired = paired_difference([True, False, True, True], [True, True, True, True])
    low, high = paired.ci95
    found = [
        Score(0.5, None, "float", 1.0, None),
        Score(0.5, 4, "after", 0.75, paired),
        Score(0.5, 4, "in", 0.75, paired),
    ]
    cell = f"0.7500 | -0.2500 ({low:+.4f} to {high:+.4f})"
    assert table(found).splitlines()[2:] == ["| 0.5 | float | 1.0000 | | | |", f"| 0.5 | 4 | {cell} | {cell} |"]


def test_a_key_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--set", "training.epoch=1"]) == 2
    assert "epoch" in capsys.readouterr().err


@pytest.mark.slow
def test_8_bits_keep_the_accuracy_and_training_brings_back_what_2_lose(tmp_path: Path) -> None:
    found = {(s.bits, s.how): s for s in measure(tmp_path, [0.0], [8, 2])}
    for how in ("after", "in"):
        eight = found[8, how].against
        assert eight is not None
        assert abs(eight.difference) <= 0.005
    assert found[2, "in"].accuracy >= found[2, "after"].accuracy
    assert found[2, "in"].accuracy >= found[None, "float"].accuracy - 0.01
