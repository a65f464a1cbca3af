"""Tensors to add up in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def zeros(*shape: int, dtype: torch.dtype = torch.float32, device: Any = None) -> Tensor:
    """Return zeros that may be changed inside and outside of inference mode, whichever holds now."""
    with torch.inference_mode(False):
        return torch.zeros(shape, dtype=dtype, device=device)
