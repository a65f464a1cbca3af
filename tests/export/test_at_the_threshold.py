"""Spikes of height 1 that meet a threshold of 1: residual sums, where rounding alone would decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import utils
from torch import Tensor, nn

import spikeport
from spikeport.errors import UnfaithfulError
from spikeport.export.convert.membranes import euler

DT = 1e-3


class Residual(nn.Module):
    """The last layer gets nothing but the spikes of the first."""

    def __init__(self, beta: float, threshold: float = 1.0, reset: str = "subtract") -> None:
        super().__init__()
        torch.manual_seed(0)
        settings = {"beta": beta, "reset_mechanism": reset, "init_hidden": True}
        self.fc, self.skipped = nn.Linear(16, 12), nn.Linear(12, 12)
        self.first, self.last = snn.Leaky(**settings), snn.Leaky(threshold=threshold, **settings)
        self.fc.weight.data *= 3
        nn.init.zeros_(self.skipped.weight)
        nn.init.zeros_(self.skipped.bias)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.first(self.fc(x))
        last: Tensor = self.last(self.skipped(spikes) + spikes)
        return last


def sample() -> Tensor:
    return (torch.rand(30, 4, 16, generator=torch.Generator().manual_seed(0)) < 0.5).float()


@pytest.mark.parametrize("dt_s", [DT, 3e-3, 1e-4])
def test_a_spike_does_not_lift_a_membrane_over_its_own_height(dt_s: float) -> None:
    beta = np.linspace(0, 0.9999, 20_001)
    tau, r = euler(beta, dt_s)
    lifted = 0 + dt_s / tau * (0 - 0 + r * 1)
    np.testing.assert_allclose(lifted, 1, rtol=1e-15)
    np.testing.assert_allclose(1 - dt_s / tau, beta, rtol=0, atol=1e-15)
    assert (lifted <= 1).all()
    assert (dt_s / tau * (1 / (1 - beta)) > 1).any()  # the same by the reciprocal of 1 - beta


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("beta", [0.9, 0.5])
def test_a_residual_sum_is_snntorchs(reset: str, beta: float, tmp_path: Path) -> None:
    net = Residual(beta, reset=reset)
    bundle = spikeport.export(net, sample(), DT, out=tmp_path / "n.bundle")
    ran = spikeport.deploy(bundle, "reference", out=tmp_path / "d").run
    assert ran is not None
    (name,) = bundle.network.outputs
    utils.reset(net)
    with torch.no_grad():
        own = torch.stack([net(x) for x in sample()]).numpy()
    np.testing.assert_array_equal(ran.tensors[name], own[:, : ran.tensors[name].shape[1]])
    assert 20 < own.sum() < own.size / 2


def test_where_rounding_decides_the_advice_helps(tmp_path: Path) -> None:
    """A rest of 0.05^6 is lost in float32 beside a 1, and lifts it over the threshold in float64."""
    with pytest.raises(UnfaithfulError, match=r"too many to tell, first at node 'last'.*1\.003 for 1") as caught:
        spikeport.export(Residual(0.05), sample(), DT, out=tmp_path / "n.bundle")
    assert caught.value.fix.startswith("Move its threshold off the sums that meet it")
    spikeport.export(Residual(0.05, threshold=1.003), sample(), DT, out=tmp_path / "n.bundle")
