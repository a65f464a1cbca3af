"""The program of docs/your-network.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from seven_segments import digits
from torch.utils.data import DataLoader, TensorDataset

from spikeport.benchmarks.results import Results

PAGE = Path(__file__).parents[2] / "docs" / "your-network.md"


def test_the_program_of_the_page_trains_exports_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(program.splitlines()) < 60
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {
        "__name__": "page",
        "train_loader": DataLoader(TensorDataset(*digits(1200, seed=1)), batch_size=40),
        "test_loader": DataLoader(TensorDataset(*digits(40, seed=2)), batch_size=20),
    }
    exec(program, names)
    with torch.no_grad():
        spk_rec, _ = names["net"](names["images"].flatten(1))
    own = float((spk_rec.sum(0).argmax(1) == names["labels"]).float().mean())
    results: Results = names["results"]
    rows = {row.name: row for row in results.rows}
    reference = rows["reference"]
    assert reference.accuracy is not None
    assert reference.accuracy.value == pytest.approx(own)
    assert own > 0.6  # chance is 0.1
    assert rows["loihi"].status == "quantised"
    assert (tmp_path / "report.html").stat().st_size > 10_000
