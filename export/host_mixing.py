"""Does a host part compute every sample of a batch by itself? A deployed network sees other batches than the sample.

Shapes: B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError


def refuse_mixing(stage: str, module: nn.Module, arguments_B: Sequence[Tensor], results: Sequence[str]) -> None:
    """Hold the first sample beside itself against the first sample beside one that is not a number.

    Args:
        stage: its name.
        module: its step, states outside.
        arguments_B: what it takes at a sample's first step.
        results: the names of what it returns.

    Raises:
        UnfaithfulError: a result of the first sample comes from the other, or has no place in the batch.
    """
    step: Any = module
    with torch.no_grad():
        try:
            alone = step(*[torch.cat((x[:1], x[:1])) for x in arguments_B])
            beside = step(*[torch.cat((x[:1], torch.full_like(x[:1], torch.nan))) for x in arguments_B])
        except RuntimeError as error:
            raise _refusal(stage, f"it fails on two samples ({str(error).splitlines()[0]})") from error
    for name, wanted, got in zip(results, alone, beside, strict=True):
        if got.shape[:1] != (2,):
            raise _refusal(stage, f"'{name}' is of shape {tuple(got.shape)} for two samples")
        if bool((torch.isnan(got[0]) & ~torch.isnan(wanted[0])).any()):
            raise _refusal(stage, f"'{name}' of one sample is computed from another sample of the batch")


def _refusal(stage: str, reason: str) -> UnfaithfulError:
    return UnfaithfulError(
        f"host stage '{stage}'", reason, "Compute along the dimensions behind the batch: dim=1 or dim=-1, not dim=0"
    )
