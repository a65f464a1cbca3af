"""A network that is cut into stages is scored as itself, and as its bundle, with the same spikes and counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

from spikeport.benchmarks import blocks
from spikeport.benchmarks.energy import load_all
from spikeport.benchmarks.rows import backend_row, snn_row
from spikeport.benchmarks.samples import Samples
from spikeport.benchmarks.subject import Subject
from spikeport.deploy import backends
from spikeport.export.call import export
from spikeport.models.network import SpikeRate, core_network

T, N, DT = 30, 6, 1e-3


def neuron() -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.8, init_hidden=True, threshold=0.3)


class Attention(nn.Module):
    """Two spike tensors meet in a product."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.sq = nn.Linear(6, 8), neuron()
        self.k, self.sk = nn.Linear(6, 8), neuron()
        self.out, self.last = nn.Linear(6, 5), neuron()

    def forward(self, x: Tensor) -> Tensor:
        scores = self.sq(self.q(x)) @ self.sk(self.k(x)).transpose(-2, -1)
        answer: Tensor = self.last(self.out(scores @ x))
        return answer.mean(1)


class Memory(nn.Module):
    """A spiking LSTM, whose state lives on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first = nn.Linear(6, 8), neuron()
        self.lstm = snntorch.SLSTM(8, 8, init_hidden=True, threshold=0.05)
        self.out, self.last = nn.Linear(8, 5), neuron()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(self.out(self.lstm(self.first(self.embed(x)))))
        return answer


@pytest.mark.parametrize("readout", [False, True])
@pytest.mark.parametrize(("kind", "shape"), [(Attention, (6, 6)), (Memory, (6,))])
def test_the_network_itself_and_its_bundle_agree(
    kind: type[nn.Module], shape: tuple[int, ...], readout: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = core_network(kind(), SpikeRate(5, 3) if readout else None, ("x",)).eval()
    x = (torch.rand(T, N, *shape) < 0.4).float()
    bundle = export(network, {"x": x}, DT, tmp_path / "n.bundle")
    assert any(stage.kind == "host" for stage in bundle.network.stages)
    classes = 3 if readout else 5
    subject = Subject("n", bundle.network, bundle.sha256, T, classes, network=network)
    about = blocks.Dataset(name="random", split="test", samples=N, note="")
    samples = Samples(about, {"x": x.numpy()}, None, np.arange(N) % classes)
    itself = snn_row(subject, samples, load_all())
    on_backend = backend_row("reference", backends.get("reference"), subject, samples, load_all())
    assert itself.row.status == on_backend.row.status == "ok"
    np.testing.assert_array_equal(itself.answers_N, on_backend.answers_N)
    assert itself.row.counts == on_backend.row.counts
    assert itself.row.stages == on_backend.row.stages
    assert itself.row.counts is not None
    assert itself.row.counts.per_sample.spikes
