"""The GPU script: it says so where there is no GPU, and runs the same work on any torch device."""

from __future__ import annotations

import pytest
import torch

from spikeport.benchmarks import loihi_gpu
from spikeport.benchmarks.suites import loihi_nets


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loihi_gpu.main([]) == 2
    assert "torch sees no GPU here" in capsys.readouterr().err


def test_it_times_equal_work(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(loihi_gpu, "suite_nets", lambda: [loihi_nets.dense_net()])
    monkeypatch.setattr(loihi_gpu, "ROUNDS", 1)
    assert loihi_gpu.main(["--device", "cpu", "--batch", "2"]) == 0
    shown = capsys.readouterr().out
    assert "dense-784-512-10" in shown
    assert "yes" in shown
