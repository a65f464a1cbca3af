"""The firing rule of a neuron: NIR fires where the membrane exceeds its threshold, and never at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from spikeport.errors import UnfaithfulError
from spikeport.export.chance import random_states, restore_random

if TYPE_CHECKING:
    from spikeport.export.shapes import Shape


def require_strict_firing(name: str, layer: Any, shape: Shape = (1,)) -> None:
    """Ask a neuron's `spike_grad` what it emits around the threshold, which no sample may reach.

    Args:
        name: the neuron's.
        layer: snnTorch's neuron.
        shape: of its membrane, without batch.

    Raises:
        UnfaithfulError: it is not 1 where its argument `v - v_threshold` is above 0, and else 0.
    """
    kinds = {x.dtype for x in (*layer.parameters(), *layer.buffers()) if x.is_floating_point()}
    dtype = torch.float64 if kinds == {torch.float64} else torch.float32
    tiny = torch.finfo(dtype).tiny
    over_P = torch.tensor([-100, -1, -1e-3, -tiny, 0, tiny, 1e-3, 1, 100], dtype=dtype)
    over_PN = over_P.reshape(-1, *(1,) * len(shape)).repeat(1, *shape)
    states = random_states()
    try:
        with torch.no_grad():
            spikes_PN = torch.as_tensor(layer.spike_grad(over_PN.clone()))
            wrong_PN = spikes_PN != (over_PN > 0)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        reason = f"its spike_grad fails on values of shape {tuple(over_PN.shape)} ({str(error).partition(chr(10))[0]})"
        raise UnfaithfulError(f"neuron '{name}'", reason, "Use a surrogate of snntorch.surrogate") from error
    finally:
        restore_random(states)
    if bool(wrong_PN.any()):
        place = int(wrong_PN.reshape(len(over_P), -1).any(1).nonzero()[0])
        emitted = float(spikes_PN.reshape(len(over_P), -1)[place][wrong_PN.reshape(len(over_P), -1)[place]][0])
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"its spike_grad emits {emitted:g} where the membrane is {float(over_P[place]):.3g} above its threshold: "
            "NIR's neurons emit 1 above the threshold, and 0 at it and below",
            "Use a surrogate of snntorch.surrogate, such as atan(), or one whose forward is (x > 0)",
        )
