"""snnTorch -> NIR -> snnTorch: the same neurons, spike for spike."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch as snn
import torch
from back_nets import comes_back
from export_nets import converted, leaky, samples, spikes_like
from torch import Tensor, nn

from spikeport.export.verify import record_model


class SnnTorchNet(nn.Module):
    """One of everything that has a snnTorch form, chosen by `kind`."""

    def __init__(self, kind: str, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.first = leaky(reset_mechanism="subtract" if seed % 2 else "zero", threshold=0.3)
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(36, 8)
        hidden = {"init_hidden": True, "threshold": 0.4}
        self.last = {
            "leaky": lambda: leaky(beta=torch.rand(8), reset_mechanism="subtract", threshold=torch.rand(8)),
            "none": lambda: leaky(beta=0.5, reset_mechanism="none", threshold=0.4),
            "integrator": lambda: leaky(beta=1.0, reset_mechanism="zero", threshold=0.4),
            "synaptic": lambda: snn.Synaptic(0.8, torch.rand(8), reset_mechanism="zero", reset_delay=False, **hidden),
            "synaptic-subtract": lambda: snn.Synaptic(0.8, 0.7, **hidden),
            "rleaky": lambda: snn.RLeaky(0.8, linear_features=8, reset_mechanism="zero", reset_delay=False, **hidden),
            "rleaky-subtract": lambda: snn.RLeaky(0.8, V=torch.randn(8), all_to_all=False, **hidden),
            "rsynaptic": lambda: snn.RSynaptic(0.8, 0.7, linear_features=8, **hidden),
        }[kind]()

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.last(2 * self.fc(torch.flatten(self.pool(self.first(self.conv(x))), 1)))
        return spikes


KINDS = ("leaky", "none", "integrator", "synaptic", "synaptic-subtract", "rleaky", "rleaky-subtract", "rsynaptic")


@pytest.mark.parametrize(("seed", "kind"), list(enumerate(KINDS)))
def test_round_trip_from_snntorch(seed: int, kind: str) -> None:
    model = SnnTorchNet(kind, seed)
    x = spikes_like((2, 6, 6), 25, 2, seed=seed)
    there = converted(model, x)
    back = comes_back(there.graph, {"x": x})
    neuron = back.trace.module.last
    assert type(neuron) is type(model.last)
    assert neuron.reset_mechanism == model.last.reset_mechanism
    # snnTorch's own spikes, not only the interpreter's: the imported network is the model.
    of_model = record_model(there, samples(model, x)).nodes
    of_import = record_model(back, {"x": x}).nodes
    for name in there.graph.spiking:
        np.testing.assert_array_equal(of_model[name], of_import[name], err_msg=name)


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_synaptic_current_that_others_read_stays_in_its_neuron(recurrent: bool) -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            more = {"linear_features": 6} if recurrent else {}
            self.w, self.v, self.last = nn.Linear(4, 6), nn.Linear(6, 3), leaky(threshold=0.2)
            self.n = (snn.RSynaptic if recurrent else snn.Synaptic)(
                0.6, 0.8, threshold=0.3, init_hidden=True, output=True, **more
            )

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            spk, syn, _ = self.n(self.w(x))
            return spk, self.last(self.v(syn))

    x = spikes_like((4,), 60)
    there = converted(Reads(), x)
    back = comes_back(there.graph, {"x": x})
    assert type(back.trace.module.n) is (snn.RSynaptic if recurrent else snn.Synaptic)
