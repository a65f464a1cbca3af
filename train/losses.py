"""Losses beside the cross-entropy: named functions of what a network's segments write.

Shape suffixes: T time steps, B samples, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from spikeport.errors import UsageError
from spikeport.registry import Registry
from spikeport.train.checks import validated

Positive = Annotated[float, Field(gt=0)]
_SILENT = 0.1
"""A rate vector shorter than this is silent: it keeps its length, and so weighs little."""


class LossSpec(BaseModel):
    """A loss as recipes store it: its name, its weight beside the cross-entropy's 1, its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    weight: Positive = 1.0
    params: dict[str, Any] = Field(default_factory=dict)


class NoParams(BaseModel):
    """A loss without parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AlignmentParams(NoParams):
    """`temperature`: of the softmax over pairs."""

    temperature: Positive = 0.1


@dataclass(frozen=True)
class Loss:
    """A registered loss.

    Attributes:
        params: the class of its parameters.
        reads: the tensors that it needs.
        apply: `(tensors by name, labels_B, params) -> scalar`.
    """

    params: type[NoParams]
    reads: tuple[str, ...]
    apply: Callable[[Mapping[str, Tensor], Tensor, Any], Tensor]


def _alignment_published(tensors: Mapping[str, Tensor], labels_B: Tensor, params: AlignmentParams) -> Tensor:
    """`-(1/B^2) sum_ij M_ij log softmax_j(a_i . v_j / temperature)`, M_ij = 1 where i and j are of one class.

    As S-CMRL's code has it: rates as they are, from audio to visual only, divided by all pairs.
    """
    audio_BC, visual_BC = _rates(tensors)
    log_BB = F.log_softmax(audio_BC @ visual_BC.T / params.temperature, dim=1)
    return -(_same(labels_B) * log_BB).mean()


def _alignment(tensors: Mapping[str, Tensor], labels_B: Tensor, params: AlignmentParams) -> Tensor:
    """The mean over i, over the positives j of i and over both directions of `-log softmax_j(a_i . v_j / temperature)`.

    Rates have length 1. Source: supervised contrastive learning, Khosla et al. 2020, arXiv:2004.11362, eq. 2.
    """
    audio_BC, visual_BC = (_unit(rates_BC) for rates_BC in _rates(tensors))
    scores_BB = audio_BC @ visual_BC.T / params.temperature
    same_BB = _same(labels_B)
    share_BB = same_BB / same_BB.sum(1, keepdim=True)
    both = [-(share_BB * F.log_softmax(s_BB, dim=1)).sum(1).mean() for s_BB in (scores_BB, scores_BB.T)]
    return (both[0] + both[1]) / 2


def _heads(tensors: Mapping[str, Tensor], labels_B: Tensor, params: NoParams) -> Tensor:
    """The cross-entropies of the audio head and of the visual head, summed.

    Without label smoothing: `training.label_smoothing` smooths the labels of the cross-entropy of the network's own
    answer alone. The stored studies' `cmci` was trained so.
    """
    return F.cross_entropy(tensors["logits_audio"], labels_B) + F.cross_entropy(tensors["logits_visual"], labels_B)


LOSSES: Registry[Loss] = Registry("loss")
_ALIGNED = ("aligned_audio", "aligned_visual")
LOSSES.register("alignment", Loss(AlignmentParams, _ALIGNED, _alignment))
LOSSES.register("alignment-published", Loss(AlignmentParams, _ALIGNED, _alignment_published))
LOSSES.register("heads", Loss(NoParams, ("logits_audio", "logits_visual"), _heads))


def added_loss(specs: tuple[LossSpec, ...], tensors: Mapping[str, Tensor], labels_B: Tensor) -> Tensor:
    """Return the weighted sum of the losses named.

    Raises:
        UsageError: the network writes no such tensor.
    """
    total = torch.zeros((), device=labels_B.device)
    for spec in specs:
        loss = LOSSES.get(spec.name)
        if missing := [name for name in loss.reads if name not in tensors]:
            reason = f"the network writes no '{missing[0]}'"
            raise UsageError(f"loss '{spec.name}'", reason, "Drop it from training.losses")
        total = total + spec.weight * loss.apply(tensors, labels_B, loss_params(spec))
    return total


def loss_params(spec: LossSpec) -> BaseModel:
    """Return the checked parameters of a loss."""
    return validated(LOSSES.get(spec.name).params, spec.params, f"training.losses.{spec.name}.params")


def _rates(tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the mean over steps and tokens of each channel of both residuals."""
    audio_BC, visual_BC = (tensors[name].mean(0).flatten(2).mean(2) for name in _ALIGNED)
    return audio_BC, visual_BC


def _unit(rates_BC: Tensor) -> Tensor:
    length_B1: Tensor = torch.linalg.vector_norm(rates_BC, dim=1, keepdim=True)
    return rates_BC / length_B1.clamp_min(_SILENT)


def _same(labels_B: Tensor) -> Tensor:
    return (labels_B[:, None] == labels_B[None]).float()
