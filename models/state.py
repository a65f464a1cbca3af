"""Resetting neurons: those below one module, and no others."""

from __future__ import annotations

from snntorch import SpikingNeuron
from torch import nn


def neurons(module: nn.Module) -> dict[str, SpikingNeuron]:
    """Return the snnTorch neurons below `module` by dotted path, a shared one once, in definition order."""
    return {path: child for path, child in module.named_modules() if isinstance(child, SpikingNeuron)}


def reset_state(module: nn.Module) -> None:
    """Set every hidden state below `module` to its initial value.

    `snntorch.utils.reset` scans only top-level children and `Leaky.reset_hidden` resets every live
    neuron of the process (another network's, in the middle of its window); this does neither.

    Raises:
        TypeError: a neuron has no `reset_mem`, so that its state would survive unseen.
    """
    for path, neuron in neurons(module).items():
        reset = getattr(neuron, "reset_mem", None)
        if reset is None:
            raise TypeError(f"{path}: {type(neuron).__name__} cannot be reset")
        reset()
