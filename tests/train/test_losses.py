"""Losses beside the cross-entropy, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from spikeport.errors import UsageError
from spikeport.train.losses import LossSpec, added_loss
from spikeport.train.recipe import parse_recipe

LABELS = torch.tensor([0, 0, 1])


def residuals(rates_BC: Tensor) -> Tensor:
    """Return [T, B, C, 1, 2] whose mean over steps and tokens is `rates_BC`."""
    half = torch.zeros(2, *rates_BC.shape, 1, 2)
    half[0, ..., 0, 0] = 4 * rates_BC
    return half


def loss(name: str, audio_BC: Tensor, visual_BC: Tensor, temperature: float) -> float:
    tensors = {"aligned_audio": residuals(audio_BC), "aligned_visual": residuals(visual_BC)}
    spec = LossSpec(name=name, params={"temperature": temperature})
    return float(added_loss((spec,), tensors, LABELS))


AUDIO = torch.tensor([[0.3, 0.4], [0.6, 0.8], [0.8, 0.6]])
VISUAL = torch.tensor([[0.6, 0.8], [0.0, 0.5], [0.5, 0.0]])


def test_the_published_alignment_by_hand() -> None:
    total = 0.0
    for i in range(3):
        scores = [float(AUDIO[i] @ VISUAL[j]) / 0.5 for j in range(3)]
        norm = math.log(sum(math.exp(s) for s in scores))
        total -= sum(scores[j] - norm for j in range(3) if LABELS[i] == LABELS[j])
    assert loss("alignment-published", AUDIO, VISUAL, 0.5) == pytest.approx(total / 9, rel=1e-5)


def test_the_published_alignment_of_silence_is_the_facts_figure() -> None:
    """0.809 at zero features for B = 128 and 6 classes of equal size (B M / B^2 log B, M = B / 6)."""
    labels = torch.arange(128) % 6
    silent = {name: torch.zeros(2, 128, 4, 1, 1) for name in ("aligned_audio", "aligned_visual")}
    value = float(added_loss((LossSpec(name="alignment-published"),), silent, labels))
    assert value == pytest.approx(0.809, abs=5e-4)


def test_the_alignment_by_hand() -> None:
    unit = [x / x.norm(dim=1, keepdim=True) for x in (AUDIO, VISUAL)]
    total = 0.0
    for a, v in (unit, unit[::-1]):
        for i in range(3):
            scores = [float(a[i] @ v[j]) / 0.5 for j in range(3)]
            norm = math.log(sum(math.exp(s) for s in scores))
            positives = [j for j in range(3) if LABELS[i] == LABELS[j]]
            total -= sum(scores[j] - norm for j in positives) / len(positives) / 6
    assert loss("alignment", AUDIO, VISUAL, 0.5) == pytest.approx(total, rel=1e-5)


def test_the_alignment_is_the_same_both_ways_and_the_published_one_is_not() -> None:
    assert loss("alignment", AUDIO, VISUAL, 0.5) == pytest.approx(loss("alignment", VISUAL, AUDIO, 0.5))
    assert loss("alignment-published", AUDIO, VISUAL, 0.5) != pytest.approx(
        loss("alignment-published", VISUAL, AUDIO, 0.5)
    )


def test_the_gradient_is_bounded_near_silence() -> None:
    rates = torch.full((3, 2), 1e-7).requires_grad_()
    tensors = {"aligned_audio": residuals(rates), "aligned_visual": residuals(VISUAL)}
    added_loss((LossSpec(name="alignment", params={"temperature": 0.1}),), tensors, LABELS).backward()
    assert rates.grad is not None
    assert float(rates.grad.abs().max()) < 200


def test_heads_are_cross_entropies() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    tensors = {"logits_audio": logits, "logits_visual": torch.zeros(3, 2)}
    expected = float(torch.nn.functional.cross_entropy(logits, LABELS)) + math.log(2)
    assert float(added_loss((LossSpec(name="heads"),), tensors, LABELS)) == pytest.approx(expected, rel=1e-6)
    assert float(added_loss((LossSpec(name="heads", weight=0.5),), tensors, LABELS)) == pytest.approx(expected / 2)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="writes no 'aligned_audio'"):
        added_loss((LossSpec(name="alignment"),), {"logits": torch.zeros(3, 2)}, LABELS)
    recipe = {"name": "x", "model": {"name": "av-digits"}, "data": {"name": "av-digits"}, "encodings": {}}
    losses = [{"name": "alignment", "params": {"temperature": 0}}]
    with pytest.raises(UsageError, match=r"training.losses.alignment.params.temperature"):
        parse_recipe(recipe | {"training": {"losses": losses}})
    with pytest.raises(UsageError, match="there is no such loss"):
        parse_recipe(recipe | {"training": {"losses": [{"name": "aligment"}]}})
