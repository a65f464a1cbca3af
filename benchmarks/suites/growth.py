"""Whether counting keeps more memory the longer a window is."""

from __future__ import annotations

import gc

import torch
from torch import Tensor, nn

from spikeport.benchmarks.counting.torch_counter import SpikeCounter
from spikeport.benchmarks.counting.torch_counter.tally import WINDOW
from spikeport.benchmarks.suites.counting_peer.nets import STEP_AXIS, forward


def kept_bytes_per_step(net: nn.Module, x_BTN: Tensor, windows: int = 3) -> float:
    """Return how many bytes of tensors counting holds on to for each step more, on the first sample.

    The sums of the last steps are kept until a window of them is full, so that whole windows are compared.
    """
    kept = [_kept(net, x_BTN[:1, :1].repeat_interleave(n * WINDOW, STEP_AXIS)) for n in (1, 1, windows)]
    return (kept[2] - kept[1]) / ((windows - 1) * WINDOW)


def _kept(net: nn.Module, x_BTN: Tensor) -> int:
    with torch.no_grad(), SpikeCounter(net) as counter:
        counter.start(len(x_BTN))
        forward(net, x_BTN)
        given = x_BTN.untyped_storage().nbytes()
        gc.collect()
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors()}
    return sum(storages.values()) - given


def _tensors() -> list[Tensor]:
    return [t for t in gc.get_objects() if type(t) is Tensor and t.device.type != "meta"]
