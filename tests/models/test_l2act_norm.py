"""The L2 layer by hand, at silence too; the network's forms and stages of training.

Shapes: T time, B batch, C channels.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from l2act_nets import PICTURES, SHAPES, draws, network, params
from pydantic import ValidationError
from torch import Tensor, nn

from spikeport.models.l2act.build import build, embedded
from spikeport.models.l2act.normalise import Embedding
from spikeport.models.l2act.params import L2Params
from spikeport.train.losses import LossSpec, added_loss


def layer(**changes: Any) -> Embedding:
    return Embedding(L2Params(**changes), beta=0.5)


# Two steps of one sample with two channels: rates (0.5, 1), of norm sqrt(1.25).
X = torch.tensor([[[1.0, 1.0]], [[0.0, 1.0]]])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [[0.5 * sqrt(2 / 1.25), sqrt(2 / 1.25)]] * 2),
        ({"scale": 16}, [[8 / sqrt(1.25), 16 / sqrt(1.25)]] * 2),
        ({"scale": 1, "eps": 2}, [[0.25, 0.5]] * 2),
        ({"scale": "none"}, [[0.5, 1.0]] * 2),
        ({"scale": "none", "gain": 4.0}, [[2.0, 4.0]] * 2),
        ({"on": "per-step", "scale": 1}, [[sqrt(0.5), sqrt(0.5)], [0, 1]]),
        # The integrator ends at 0.5 x + x' = (0.5, 1.5).
        ({"on": "membrane", "scale": "none"}, [[0.5, 1.5]] * 2),
        ({"on": "membrane", "scale": 1}, [[0.5 / sqrt(2.5), 1.5 / sqrt(2.5)]] * 2),
    ],
)
def test_embeddings_by_hand(changes: dict[str, Any], expected: list[list[float]]) -> None:
    torch.testing.assert_close(layer(**changes)(X)[:, 0], torch.tensor(expected))


def test_pictures_are_averaged_before_the_norm() -> None:
    x_TBCHW = torch.rand(3, 2, 4, 5, 6)
    torch.testing.assert_close(layer()(x_TBCHW), layer()(x_TBCHW.mean((3, 4))))


@pytest.mark.parametrize("on", ["rate", "per-step", "membrane"])
def test_silence_is_finite_and_its_gradient_is_s_over_eps(on: Any) -> None:
    x = torch.zeros(4, 3, 2, requires_grad=True)
    made = layer(on=on, scale=1, eps=0.1)
    assert not made(x).any()
    made(x)[-1].sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    # The last step weighs 1/T in the mean, and 1 by itself and in the integrator.
    torch.testing.assert_close(x.grad[-1], torch.full((3, 2), 10 / (4 if on == "rate" else 1)))


@given(st.floats(1e-30, 1e3), st.integers(0, 5))
def test_the_gradient_is_bounded_by_s_over_eps_everywhere(length: float, seed: int) -> None:
    r = torch.randn(8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    made = layer(scale=2, eps=0.1)
    slope = torch.autograd.functional.jacobian(lambda x: made.normalised(x[None, None])[0, 0], r / r.norm() * length)
    assert float(torch.linalg.matrix_norm(slope, 2)) <= 2 / 0.1 * (1 + 1e-9)


def test_both_modalities_have_the_same_norm_whatever_their_rates() -> None:
    net = network(PICTURES, threshold=0.2)
    tensors = net.tensors(draws(net))
    rates_B = tensors["x_visual"].detach().mean((0, 2, 3, 4))
    assert float(rates_B.max() / rates_B.min()) > 1.2
    for side, length in (("visual", 8), ("audio", 10)):
        e_TBC = tensors[f"e_{side}"]
        torch.testing.assert_close(e_TBC, e_TBC[:1].expand_as(e_TBC))
        torch.testing.assert_close(e_TBC[0].norm(dim=1), torch.full((12,), sqrt(length)))


def test_fusion_is_one_linear_on_both_embeddings_side_by_side() -> None:
    net = network()
    tensors = net.tensors(draws(net))
    fusion = net.fusion
    both = torch.cat((tensors["e_visual"][0], tensors["e_audio"][0]), 1)
    weight = torch.cat((fusion.visual.weight, fusion.audio.weight), 1)
    current_BN = both @ weight.T + fusion.visual.bias
    v, spikes = torch.zeros_like(current_BN), []
    for _ in range(6):
        v = 0.9 * v + current_BN
        spikes.append((v > 0.5).float())
        v = v * (1 - spikes[-1])
    torch.testing.assert_close(tensors["hidden"], torch.stack(spikes))


def test_embeddings_of_a_network_without_the_layer_are_rates() -> None:
    net = network(modality="visual", l2={"scale": "none"})
    inputs = draws(net)
    found = embedded(net, inputs)
    torch.testing.assert_close(found["visual"], net.tensors(inputs)["x_visual"].mean((0, 3, 4)))


def loss(net: nn.Module, heads: bool) -> Tensor:
    labels_B = torch.arange(12) % 4
    tensors = net.tensors(draws(net), folded=True)  # type: ignore[operator, arg-type]
    total = nn.functional.cross_entropy(tensors["logits"], labels_B)
    specs = (LossSpec(name="heads"),) if heads else ()
    return total + added_loss(specs, tensors, labels_B)


def learns(module: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_joint_training_reaches_everything_but_heads_without_a_loss() -> None:
    net = build(params(heads=True), SHAPES, 4).train()
    loss(net, heads=False).backward()
    assert all(learns(part) for part in (net.encoders.visual, net.encoders.audio, net.fusion))
    assert not learns(net.readout.visual)


def test_the_first_stage_trains_each_encoder_by_its_own_head_alone() -> None:
    net = build(params(stage="encoders"), SHAPES, 4).train()
    loss(net, heads=False).backward()
    assert not learns(net.encoders)
    assert learns(net.fusion)
    loss(net, heads=True).backward()
    assert all(learns(part) for part in (net.encoders.visual, net.encoders.audio, net.readout.visual))


def test_the_second_stage_leaves_the_encoders_as_they_are() -> None:
    """Batch statistics too: in training mode they would drift, and the features with them."""
    net = build(params(stage="fusion"), SHAPES, 4)
    net.load_state_dict(network(stage="encoders").state_dict())
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    loss(net, heads=False).backward()
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    learnt = {name for name, _ in net.named_parameters() if name.startswith(("fusion.", "readout.fused."))}
    assert changed == learnt


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modality": "audio", "stage": "fusion"}, "neither stage nor heads"),
        ({"fusion_reads": "spikes"}, "needs l2.scale none"),
        ({"modality": "audio", "fusion_reads": "spikes", "l2": {"scale": "none"}}, "both modalities"),
        ({"l2": {"gain": 4.0}}, "it needs l2.scale none"),
        ({"modality": "audio", "l2": {"scale": "none", "gain": 4.0}}, "a fusion of both"),
        ({"visual": {"input": "audio"}}, "both 'audio'"),
        ({"l2": {"eps": 0}}, "eps"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        params(**changes)
