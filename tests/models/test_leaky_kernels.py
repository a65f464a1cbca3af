from __future__ import annotations

import pytest
import snntorch
import torch
from snntorch import surrogate
from torch import Tensor, nn

from spikeport.models import leaky_kernels
from spikeport.models.folded import detach_membrane, fold
from spikeport.models.network import core_network
from spikeport.models.surrogate import SigmoidSurrogate


def gradient(spike_grad: object, detached: bool, folded: bool, reset: str = "zero") -> tuple[Tensor, Tensor]:
    """Return spikes and the input's gradient of one neuron over seven steps."""
    neuron: nn.Module = snntorch.Leaky(
        beta=0.75, threshold=0.5, spike_grad=spike_grad, init_hidden=True, reset_mechanism=reset
    )
    core = nn.Sequential(nn.Identity(), detach_membrane(neuron) if detached else neuron)
    draw = torch.Generator().manual_seed(0)
    x_TBN = torch.randn((7, 3, 5), generator=draw).requires_grad_()
    weight_TBN = torch.randn((7, 3, 5), generator=draw)
    spikes = fold(core, [x_TBN]) if folded else core_network(core, None, ("x",)).tensors({"x": x_TBN})["spikes"]
    assert isinstance(spikes, Tensor)
    (spikes * weight_TBN).sum().backward()
    assert x_TBN.grad is not None
    return spikes.detach(), x_TBN.grad


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize(
    "spike_grad",
    [surrogate.atan(alpha=2.0), surrogate.atan(alpha=5.0), SigmoidSurrogate(3.0), surrogate.fast_sigmoid()],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_the_compiled_gradient_is_that_of_the_neuron(
    spike_grad: object, detached: bool, reset: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(leaky_kernels, "fits", lambda _: False)
    spikes, stepwise = gradient(spike_grad, detached, folded=False, reset=reset)
    found, folded = gradient(spike_grad, detached, folded=True, reset=reset)
    assert 0.1 < float(spikes.mean()) < 0.9
    assert torch.equal(found, spikes)
    torch.testing.assert_close(folded, stepwise, rtol=1e-5, atol=1e-7)


def test_sharpness_and_detaching_show_in_the_gradient() -> None:
    usual = gradient(surrogate.atan(alpha=2.0), False, True)[1]
    assert not torch.allclose(usual, gradient(surrogate.atan(alpha=5.0), False, True)[1])
    assert not torch.allclose(usual, gradient(surrogate.atan(alpha=2.0), True, True)[1])
    others = [gradient(surrogate.atan(alpha=2.0), False, True, reset)[1] for reset in ("subtract", "none")]
    assert not torch.allclose(usual, others[0])
    assert not torch.allclose(others[0], others[1])


def test_the_membrane_is_rounded_as_step_by_step() -> None:
    """Single precision throughout: 0.1 decays to what multiplication and addition give, each rounded."""
    x_TBN = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1)
    v = torch.tensor(0.1)
    for value in (0.2, 0.3):
        v = v * torch.tensor(0.7) + torch.tensor(value)
    for threshold, fires in ((float(v), 0.0), (float(torch.nextafter(v, torch.tensor(0.0))), 1.0)):
        core = nn.Sequential(
            snntorch.Leaky(beta=0.7, threshold=threshold, init_hidden=True, reset_mechanism="zero"),
        )
        spikes = fold(core, [x_TBN])
        assert isinstance(spikes, Tensor)
        assert spikes[-1].item() == fires
