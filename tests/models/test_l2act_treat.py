"""What becomes of the L2 layer: dropped and host decide alike, a constant is measured and folded.

Shapes: B batch, K classes.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from l2act_nets import PICTURES, draws, network

from spikeport.errors import UsageError
from spikeport.models.l2act.treat import measured, same_answers, treat


@pytest.mark.parametrize("modality", ["visual", "audio"])
@pytest.mark.parametrize("on", ["rate", "membrane"])
def test_a_bias_free_head_decides_alike_without_the_norm(modality: str, on: str) -> None:
    net = network(modality=modality, l2={"on": on})
    found = treat(net, "auto")
    assert (found.how, found.exact) == ("drop", True)
    inputs = draws(net, samples=400, seed=7)
    with torch.no_grad():
        with_norm, without = net(inputs), found.network(inputs)
    assert not torch.allclose(with_norm, without)
    assert torch.equal(with_norm.argmax(1), without.argmax(1))


def test_dropping_leaves_no_host_stage_but_the_head() -> None:
    found = treat(network(modality="visual"), "drop")
    assert [segment.name for segment in found.network.segments] == ["encoders", "readout"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"modality": "visual", "head_bias": True}, "head has a bias"),
        ({"modality": "visual", "l2": {"on": "per-step"}}, "a norm of its own"),
        ({}, "ratio"),
    ],
)
def test_a_norm_that_decides_stays_on_the_host(changes: dict[str, Any], reason: str) -> None:
    net = network(**changes)
    found = treat(net, "auto")
    assert (found.how, found.exact) == ("host", True)
    assert reason in found.reason
    inputs = draws(net)
    assert torch.equal(found.network(inputs), net(inputs))
    with pytest.raises(UsageError, match=reason):
        treat(net, "drop")


def test_host_takes_away_heads_and_nothing_else() -> None:
    net = network(stage="fusion")
    found = treat(net, "host")
    inputs = draws(net)
    assert torch.equal(found.network(inputs), net(inputs))
    assert set(found.network.tensors(inputs)) == set(net.tensors(inputs)) - {"logits_visual", "logits_audio"}


@pytest.mark.parametrize("shapes", [PICTURES, {"visual": (2, 9, 9), "audio": (12,)}])
def test_a_constant_is_folded_into_the_fusions_weights(shapes: Any) -> None:
    """With c / T in every step's place of the mean, the fusion's summed current is that of c times the rate."""
    net = network(shapes, heads=True)
    inputs = draws(net)
    found = treat(net, "constant", inputs)
    assert not found.exact
    assert [(s.name, s.form) for s in found.network.segments] == [("core", "step"), ("readout", "readout")]
    tensors, fusion = net.tensors(inputs), net.fusion
    expected_BN = fusion.visual.bias
    for side, rates in (("visual", tensors["x_visual"].mean((0, 3, 4))), ("audio", tensors["x_audio"].mean(0))):
        expected_BN = expected_BN + found.norms[side].constant * rates @ getattr(fusion, side).weight.T  # type: ignore[index]
    new = found.network.core.fusion
    with torch.no_grad():
        currents = [
            new.visual(new.pool_visual(v)) + new.audio(new.pool_audio(a))
            for v, a in zip(tensors["x_visual"], tensors["x_audio"], strict=True)
        ]
    torch.testing.assert_close(torch.stack(currents).mean(0), expected_BN)


def test_the_constant_is_what_comes_nearest() -> None:
    """`sum (s r / n - c r)^2` grows on both sides of it."""
    net = network()
    inputs = draws(net, samples=40)
    tensors = net.tensors(inputs)
    c = measured(net, inputs)["visual"].constant
    r, e = tensors["x_visual"].mean((0, 3, 4)), tensors["e_visual"][0]
    miss = [float(((e - factor * c * r) ** 2).sum().detach()) for factor in (0.99, 1.0, 1.01)]
    assert miss[1] < min(miss[0], miss[2])


def test_norms_tell_how_far_from_constant_they_are() -> None:
    net = network()
    inputs = draws(net, samples=1)
    same = {name: x.expand(-1, 5, *x.shape[2:]) for name, x in inputs.items()}
    assert measured(net, same)["audio"].variation == pytest.approx(0, abs=1e-6)
    assert measured(net, draws(net))["audio"].variation > 0.01


def test_where_norms_are_constant_the_constant_is_exact() -> None:
    """One sample: e = c r. Its spikes repeat every step, so that the fusion's current is the same too."""
    net = network(beta=0.0)
    inputs = {name: x[:1].expand(6, -1, *x.shape[2:]) for name, x in draws(net, samples=1).items()}
    found = treat(net, "constant", inputs)
    torch.testing.assert_close(found.network(inputs), net(inputs), rtol=1e-4, atol=1e-5)
    assert net(inputs).abs().sum() > 0
    assert same_answers(net, found.network, inputs) == (1, 1)


def test_auto_never_takes_constants_which_may_change_answers() -> None:
    net = network(seed=1)
    inputs = draws(net, samples=60)
    folded = treat(net, "constant", inputs)
    assert not folded.exact
    assert same_answers(net, folded.network, inputs)[0] < 60
    assert treat(net, "auto", inputs).how == "host"


@pytest.mark.parametrize(
    ("changes", "how", "said"),
    [
        ({"l2": {"scale": "none"}}, "auto", "no L2 layer"),
        ({"l2": {"on": "membrane"}}, "constant", "late steps"),
        ({"modality": "audio"}, "constant", "no fusion"),
        ({}, "constant", "measured on samples"),
    ],
)
def test_what_cannot_be_treated_so_is_refused(changes: dict[str, Any], how: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        treat(network(**changes), how)


def test_silent_nets_have_no_constant() -> None:
    net = network()
    with torch.no_grad():
        net.encoders.audio[0][1].bias.fill_(-100.0)
    with pytest.raises(UsageError, match="audio net is silent on all 12"):
        treat(net, "constant", draws(net))
