"""Models and samples that cannot be exported as they stand: what is said, and that nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_nets import DT, leaky, spikes_like
from torch import Tensor, nn

import spikeport
from spikeport.errors import SpikeportError, UsageError

X = spikes_like((4,), steps=20)


def net(**settings: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), leaky(**settings))


def with_nan() -> nn.Sequential:
    model = net()
    with torch.no_grad():
        model[0].weight[1, 2] = torch.nan
    return model


CASES: dict[str, tuple[nn.Module, Any, Any, str]] = {
    "half precision": (net().half(), X, DT, "float16.*float32"),
    "bfloat16": (net().bfloat16(), X, DT, "bfloat16.*float32"),
    "double, single sample": (net().double(), X, DT, "Float and Double"),
    "wrong feature size": (net(), X[..., :3], DT, r"one step of the model fails.*\[T, B, \*shape\]"),
    "no time axis": (net(), X[0, 0], DT, r"not \[T, B, \*shape\]"),
    "no step": (net(), X[:0], DT, r"not \[T, B, \*shape\]"),
    "NaN in the sample": (net(), X * torch.nan, DT, "NaN or infinity"),
    "NaN weights": (with_nan(), X, DT, r"parameter '0\.weight': it holds NaN"),
    "no neuron": (nn.Sequential(nn.Linear(4, 3)), X, DT, "no spiking neuron.*ONNX"),
    "negative threshold": (net(threshold=-1.0), X, DT, "its threshold is -1"),
    "dt of 0": (net(), X, 0.0, "dt_s = 0.0"),
    "negative dt": (net(), X, -DT, "dt_s = -"),
}


@pytest.mark.parametrize(("model", "sample", "dt_s", "said"), CASES.values(), ids=CASES.keys())
def test_it_is_refused_with_the_reason_and_a_fix(
    tmp_path: Path, model: nn.Module, sample: Any, dt_s: Any, said: str
) -> None:
    with pytest.raises(SpikeportError, match=said) as caught:
        spikeport.export(model, sample, dt_s, tmp_path / "out.bundle")
    assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


class Trained(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.drop, self.norm, self.lif = nn.Linear(4, 3), nn.Dropout(0.5), nn.BatchNorm1d(3), leaky()
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.lif(self.norm(self.drop(self.fc(x))))
        return spikes


def test_training_mode_is_exported_as_inference_and_left_as_it_was(tmp_path: Path) -> None:
    model = Trained().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bundle = spikeport.export(model, X, DT, tmp_path / "a.bundle")
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    again = spikeport.export(model.eval(), X, DT, tmp_path / "b.bundle")
    first, second = (b.golden().nodes["core"] for b in (bundle, again))
    for name, spikes in first.items():
        np.testing.assert_array_equal(spikes, second[name])
    assert any(spikes.any() for spikes in first.values())


def test_an_existing_bundle_is_not_touched(tmp_path: Path) -> None:
    spikeport.export(net(), X, DT, tmp_path / "a.bundle")
    with pytest.raises(UsageError, match="exists"):
        spikeport.export(net(), X, DT, tmp_path / "a.bundle")
