"""A network of real size through the whole export, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from spikeport.benchmarks.resnet18 import ResNet18, changed, snapshot


@pytest.mark.slow
def test_resnet18_is_exported_and_verified_in_a_minute_and_6_gb_and_left_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spikeport.benchmarks.resnet18"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)  # noqa: T201 - the figures, with pytest -s
    found = json.loads(done.stdout)
    assert found["parameters"] > 11_000_000
    assert found["seconds"] < 60
    assert found["peak_mib"] < 6 * 1024
    assert found["entries"] > 1_000_000
    assert found["silent"] == []
    assert found["changed"] == []


def test_a_touched_model_shows() -> None:
    net = ResNet18().train()
    with torch.no_grad():
        net(torch.rand(1, 3, 32, 32))
    before = snapshot(net)
    assert changed(before, snapshot(net)) == []
    net.head.eval()
    with torch.no_grad():
        net.stem[0].weight[0, 0, 0, 0] += 1
        net.blocks[0].lif1.mem.zero_()
    names = changed(before, snapshot(net))
    assert {"mode head", "weight stem.0.weight", "membrane blocks.0.lif1"} <= set(names)
    assert "weight stem.1.weight" not in names
