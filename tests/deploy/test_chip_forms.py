"""Networks of slices, joins, constants, resizing and pooling of any size, from snnTorch onto every backend.

The oracle is the author's own loop over time, written out here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import spikeport

TIMESTEPS, SAMPLES = 25, 2


def lif(**options: object) -> snn.Leaky:
    return snn.Leaky(beta=0.9, init_hidden=True, **{"threshold": 0.513, **options})


class Features(nn.Module):
    """Vectors: a complement, parts, a stack, and zeros around."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 6), nn.Linear(15, 4)
        self.l1, self.l2, self.l3 = lif(), lif(), lif()

    def forward(self, x: Tensor) -> Tensor:
        spk = self.l1(self.a(x) + 0.25)
        gate, rest = self.b(1 - spk).chunk(2, 1)
        pair = torch.stack([self.l2(gate - rest), spk[:, 1:7:2]], 2).flatten(1)
        out: Tensor = self.l3(self.c(torch.cat([F.pad(pair, (1, 2)), spk[:, :6]], 1)))
        return out


class Decoder(nn.Module):
    """Images: down by pooling that overhangs, and up again by every way, joined with what was cropped."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.c, self.d = nn.Conv2d(9, 4, 3), nn.Linear(64, 5)
        self.down, self.up = nn.AvgPool2d(2, ceil_mode=True), nn.Upsample(size=(6, 6), mode="bilinear")
        self.shuffle, self.last = nn.PixelShuffle(2), nn.AdaptiveAvgPool2d((4, 4))
        self.l1, self.l2, self.l3, self.l4 = lif(), lif(threshold=0.313), lif(), lif()

    def forward(self, x: Tensor) -> Tensor:
        first = self.l1(self.a(x))
        small = self.l2(self.down(first))
        image = torch.cat(
            [self.b(small)[:, :, :5], F.pad(self.shuffle(small), (0, 0, 0, -1)), self.up(first)[:, :, 1:]], 1
        )
        out: Tensor = self.l4(self.d(self.last(self.l3(self.c(image))).flatten(1)))
        return out


NETS = {"features": (Features, (8,)), "decoder": (Decoder, (1, 5, 5))}


@pytest.mark.parametrize("name", NETS)
def test_they_run_on_every_backend(name: str, tmp_path: Path) -> None:
    make, shape = NETS[name]
    torch.manual_seed(0)
    net = make().eval()
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            layer.weight.data *= 4
    x_TB = (torch.rand(TIMESTEPS, SAMPLES, *shape) < 0.4).float()
    with torch.no_grad():
        theirs_TB = torch.stack([net(step) for step in x_TB]).numpy()
    assert 0.02 < theirs_TB.mean() < 0.98
    bundle = spikeport.export(net, x_TB, dt_s=1e-3, out=tmp_path / "net.bundle")
    assert [stage.kind for stage in bundle.network.stages] == ["chip"]
    for backend in ("reference", "norse", "lava-float", "loihi"):
        done = spikeport.deploy(bundle, backend, out=tmp_path / backend)
        for stage, agreement in done.agreements.items():
            if backend != "loihi":
                assert agreement.exact, (backend, stage)
            else:
                assert agreement.equal_spikes > 0.9, (stage, agreement.equal_spikes)


def test_a_reset_without_delay_runs_where_loops_do_and_is_refused_by_name_where_neurons_send_spikes(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 6), lif(reset_delay=False)).eval()
    net[0].weight.data *= 4
    bundle = spikeport.export(net, (torch.rand(TIMESTEPS, SAMPLES, 8) < 0.4).float(), 1e-3, out=tmp_path / "n.bundle")
    for backend in ("reference", "norse"):
        assert all(a.exact for a in spikeport.deploy(bundle, backend, out=tmp_path / backend).agreements.values())
    for backend in ("lava-float", "loihi"):
        with pytest.raises(spikeport.errors.UnfaithfulError, match="its membrane feeds"):
            spikeport.deploy(bundle, backend, out=tmp_path / backend)
