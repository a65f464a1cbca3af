"""The perceptron against the loop that snnTorch's tutorial 5 writes, and its twins."""

from __future__ import annotations

import snntorch
import torch
from torch import nn

from spikeport.models.mlp import MlpParams, build, twin
from spikeport.models.network import SpikingNetwork
from spikeport.models.twin import Equivalent

SHAPES = {"image": (1, 4, 5)}
T, B, K = 12, 6, 3


def network() -> SpikingNetwork:
    torch.manual_seed(0)
    return build(MlpParams(hidden=(9,)), SHAPES, K)


def test_it_is_the_tutorials_loop() -> None:
    net, x_B = network(), torch.rand(B, 1, 4, 5, generator=torch.Generator().manual_seed(1)) * 2
    fc1, fc2 = (layer for layer in net.modules() if isinstance(layer, nn.Linear))
    lif1, lif2 = snntorch.Leaky(beta=0.95), snntorch.Leaky(beta=0.95)
    mem1, mem2, counts = lif1.reset_mem(), lif2.reset_mem(), torch.zeros(B, K)
    for _ in range(T):
        spk1, mem1 = lif1(fc1(x_B.view(B, -1)), mem1)
        spk2, mem2 = lif2(fc2(spk1), mem2)
        counts += spk2
    assert 0 < counts.sum() < B * T * K
    inputs = {"image": x_B.expand(T, *x_B.shape)}
    assert torch.equal(net(inputs), counts)
    assert torch.equal(net.forward_folded(inputs), counts)


def test_its_twins() -> None:
    params = MlpParams(hidden=(8, 6))
    stills = {"image": torch.rand(B, 1, 4, 5)}
    net = twin(params, SHAPES, K)
    assert net(stills).shape == (B, K)
    assert set(net.runs_per_sample(1).values()) == {1}
    wide = twin(params, SHAPES, K, Equivalent("matched", T, macs=4 * (20 * 8 + 8 * 6 + 6 * K)))
    macs = sum(layer.weight.numel() for _, layer in wide.weighted())  # type: ignore[misc]
    assert 0.8 < macs / (4 * (20 * 8 + 8 * 6 + 6 * K)) < 1.25
    framed = twin(params, SHAPES, K, Equivalent("per-frame", T, 4, frame_inputs=frozenset({"image"})))
    assert framed({"image": torch.rand(B, 4, 1, 4, 5)}).shape == (B, K)
    assert set(framed.runs_per_sample(4).values()) == {4}
