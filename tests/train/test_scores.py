from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spikeport.train.scores import VARIANTS, Score, mean, measure, table

FLOORS = {0.0: 0.99, 0.5: 0.98, 1.0: 0.93}


def test_the_table_by_hand() -> None:
    scores = [Score("snn", 0.5, 0, 0.9, 10.4), Score("snn", 0.5, 1, 0.7, 12.0), Score("ann", 0.5, 0, 1.0, 3.0)]
    assert mean(scores, "snn", 0.5) == pytest.approx(0.8)
    assert table(scores).splitlines()[2:] == [
        "| snn | 0.5 | 0.900 0.700 | 0.8000 | 10 12 |",
        "| ann | 0.5 | 1.000 | 1.0000 | 3 |",
    ]


@pytest.mark.slow
def test_the_recipe_keeps_its_promise(tmp_path: Path) -> None:
    scores = measure(tmp_path, VARIANTS, FLOORS, range(3))
    sys.stdout.write("\n" + table(scores))
    for noise, floor in FLOORS.items():
        spiking, twin = mean(scores, "snn", noise), mean(scores, "ann", noise)
        assert spiking >= floor
        assert twin >= floor
        assert abs(spiking - twin) <= 0.01
        assert spiking > max(mean(scores, "snn image", noise), mean(scores, "snn audio", noise))
