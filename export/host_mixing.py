"""Does a host part compute every sample of a batch by itself? A deployed network sees other batches than the sample.

Shapes: B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.models.network import as_tuple


def refuse_mixing(
    stage: str,
    module: nn.Module,
    arguments: Sequence[Tensor],
    results: Sequence[str],
    axis: int = 0,
    axis_out: int = 0,
) -> None:
    """Hold the first sample beside itself against the first sample beside one that is not a number.

    Args:
        stage: its name.
        module: its step, states outside; or what it does to whole windows.
        arguments: what it takes, [B, *shape] at a sample's first step, or windows [T, B, *shape].
        results: the names of what it returns.
        axis: of the batch in the arguments.
        axis_out: of the batch in the results.

    Raises:
        UnfaithfulError: a result of the first sample comes from the other, or has no place in the batch.
    """
    step: Any = module
    with torch.no_grad():
        try:
            first = [x.narrow(axis, 0, 1) for x in arguments]
            alone = as_tuple(step(*[torch.cat((x, x), axis) for x in first]))
            beside = as_tuple(step(*[torch.cat((x, torch.full_like(x, torch.nan)), axis) for x in first]))
        except RuntimeError as error:
            raise _refusal(stage, f"it fails on two samples ({str(error).splitlines()[0]})") from error
    for name, wanted, got in zip(results, alone, beside, strict=True):
        if got.shape[axis_out : axis_out + 1] != (2,):
            raise _refusal(stage, f"'{name}' is of shape {tuple(got.shape)} for two samples")
        if bool((torch.isnan(got) & ~torch.isnan(wanted)).select(axis_out, 0).any()):
            raise _refusal(stage, f"'{name}' of one sample is computed from another sample of the batch")


def _refusal(stage: str, reason: str) -> UnfaithfulError:
    return UnfaithfulError(
        f"host stage '{stage}'", reason, "Compute along the dimensions behind the batch: dim=1 or dim=-1, not dim=0"
    )
