"""Networks with snnTorch's default reset, as people write them, from snnTorch onto every backend.

The oracle is the author's own loop over time, written out here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import Tensor, nn

import spikeport
from spikeport.deploy.compare import compare_runs
from spikeport.models.zoo import zoo_path

TIMESTEPS, SAMPLES = 25, 3
EXACT = ("reference", "norse", "lava-float")


def lif(beta: float | Tensor = 0.9, **options: object) -> snn.Leaky:
    return snn.Leaky(beta=beta, init_hidden=True, **options)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 16), lif(), nn.Linear(16, 10), lif())


def pooled_spikes() -> nn.Module:
    body = [nn.Conv2d(1, 4, 3), lif(threshold=0.5), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5), lif(threshold=0.3)]
    return nn.Sequential(*body)


def pooled_values() -> nn.Module:
    body = [nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), lif(threshold=0.5), nn.Flatten(), nn.Linear(36, 5), lif(threshold=0.3)]
    return nn.Sequential(*body)


def recurrent() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 12), snn.RLeaky(beta=0.8, linear_features=12, init_hidden=True))


def synaptic() -> nn.Module:
    cells = [snn.Synaptic(alpha=0.7, beta=0.85, init_hidden=True) for _ in range(2)]
    return nn.Sequential(nn.Linear(20, 16), cells[0], nn.Linear(16, 10), cells[1])


def own_betas() -> nn.Module:
    """The quickstart's `Leaky(beta=torch.rand(n), learn_beta=True)`, with thresholds of its neurons' own."""
    generator = torch.Generator().manual_seed(2)
    first = lif(beta=torch.rand(16, generator=generator), learn_beta=True)
    second = lif(beta=torch.rand(10, generator=generator), threshold=torch.linspace(0.5, 1.5, 10), learn_threshold=True)
    return nn.Sequential(nn.Linear(20, 16), first, nn.Linear(16, 10), second)


def own_channels() -> nn.Module:
    first = lif(beta=torch.tensor([0.3, 0.6, 0.8, 0.95])[:, None, None], threshold=0.5)
    return nn.Sequential(nn.Conv2d(1, 4, 3), first, nn.Flatten(), nn.Linear(144, 5), lif(threshold=0.3))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (20,)),
    "pooled spikes": (pooled_spikes, (1, 8, 8)),
    "pooled values": (pooled_values, (1, 8, 8)),
    "recurrent": (recurrent, (20,)),
    "synaptic": (synaptic, (20,)),
    "own betas": (own_betas, (20,)),
    "own channels": (own_channels, (1, 8, 8)),
}


def drawn(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    net = make().eval()
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.weight.data *= 4
    return net, (torch.rand(TIMESTEPS, SAMPLES, *shape) < 0.4).float()


@pytest.mark.parametrize("name", NETS)
def test_it_runs_on_every_backend(name: str, tmp_path: Path) -> None:
    net, x_TB = drawn(*NETS[name])
    with torch.no_grad():
        theirs_TB = torch.stack([net(step) for step in x_TB]).numpy()
    assert 0.02 < theirs_TB.mean() < 0.98
    bundle = spikeport.export(net, x_TB, dt_s=1e-3, out=tmp_path / "net.bundle")
    answer = bundle.manifest.answer
    done = {b: spikeport.deploy(bundle, b, out=tmp_path / b) for b in (*EXACT, "loihi", "lava-fixed")}
    for backend in EXACT:
        for stage, agreement in done[backend].agreements.items():
            assert agreement.exact, (backend, stage, agreement.first_divergence)
        run = done[backend].run
        assert run is not None
        np.testing.assert_array_equal(run.tensors[answer], theirs_TB)
    ours, lavas = done["loihi"].run, done["lava-fixed"].run
    assert ours is not None
    assert lavas is not None
    for stage, difference in compare_runs(ours, lavas).items():
        assert difference.differing == 0, (stage, difference.first)
    for agreement in done["loihi"].agreements.values():
        assert agreement.jaccard > 0.7


def test_what_resets_to_zero_is_another_network() -> None:
    """The networks of this file tell the resets apart."""
    net, x_TB = drawn(*NETS["mlp"])
    other, _ = drawn(lambda: nn.Sequential(*(zeroed(layer) for layer in mlp())), (20,))
    with torch.no_grad():
        ours, theirs = (torch.stack([n(step) for step in x_TB]) for n in (net, other))
    assert (ours != theirs).float().mean() > 0.02


def zeroed(layer: nn.Module) -> nn.Module:
    return snn.Leaky(beta=0.9, init_hidden=True, reset_mechanism="zero") if isinstance(layer, snn.Leaky) else layer


def test_the_trained_one_of_the_zoo_runs_on_every_backend(tmp_path: Path) -> None:
    path = zoo_path("mnist-default-reset")
    done = {b: spikeport.deploy(path, b, out=tmp_path / b, samples=4) for b in (*EXACT, "loihi", "lava-fixed")}
    answers = {}
    for backend, deployed in done.items():
        run = deployed.run
        assert run is not None
        answers[backend] = run.tensors["logits"].sum(axis=0).argmax(axis=-1)
        assert deployed.as_declared
        assert (backend in EXACT) == all(agreement.exact for agreement in deployed.agreements.values())
    assert all((answer == answers["reference"]).all() for answer in answers.values())
    ours, lavas = done["loihi"].run, done["lava-fixed"].run
    assert ours is not None
    assert lavas is not None
    assert all(difference.differing == 0 for difference in compare_runs(ours, lavas).values())
