"""Calls that hand a value on as it is: copies and views of the same numbers."""

from __future__ import annotations

import torch

from spikeport.export.convert.builder import Signal
from spikeport.export.convert.functions import Call, handles


@handles("detach", "clone", "contiguous", "float", torch.detach, torch.clone)
def same(call: Call) -> Signal:
    """A wire: `x.float()` too, since a signal is of the model's own type, and an audit sees where it is not."""
    return call.signal
