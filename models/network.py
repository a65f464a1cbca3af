"""A spiking network: one time step (`core`), the loop over time, and a readout of the whole window.

Shape suffixes: T time steps, B samples, N the core's outputs (any shape), K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.folded import fold
from spikeport.models.state import reset_state


class SpikeRate(nn.Module):
    """A Linear on spike counts per step: `logits_BK = W (sum_t s_TBN / T) + b`."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, spikes_TBN: Tensor) -> Tensor:
        """Return logits_BK."""
        logits_BK: Tensor = self.linear(spikes_TBN.mean(0))
        return logits_BK


class SpikingNetwork(nn.Module):
    """Runs `core` once a step over T steps from state zero, then `readout` once over the window.

    Args:
        core: one step, `core(*inputs_B) -> spikes_BN`: plain layers and snnTorch neurons with
            `init_hidden=True`, no Python control flow, so that torch.fx can trace it.
        readout: `readout(spikes_TBN) -> logits_BK`, or None where the spikes are the answer.
        input_names: the core's inputs, in the order of its arguments.
    """

    def __init__(self, core: nn.Module, readout: nn.Module | None, input_names: tuple[str, ...]) -> None:
        super().__init__()
        self.core = core
        self.readout = readout
        self.input_names = input_names

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits_BK (spikes_TBN without a readout) for inputs of shape [T, B, *shape]."""
        return self._read(self.spikes(inputs))

    def spikes(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the core's spikes_TBN, computed step by step: the definition of this network."""
        ordered = self._ordered(inputs)
        reset_state(self.core)
        return torch.stack([self.core(*(x_TBN[step] for x_TBN in ordered)) for step in range(len(ordered[0]))])

    def forward_folded(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what `forward` does up to rounding, several times faster: for training.

        Stateless layers see all steps as one batch of T*B; see `spikeport.models.folded`.
        """
        return self._read(fold(self.core, self._ordered(inputs)))

    def _read(self, spikes_TBN: Tensor) -> Tensor:
        if self.readout is None:
            return spikes_TBN
        logits_BK: Tensor = self.readout(spikes_TBN)
        return logits_BK

    def _ordered(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the inputs in the core's order, having checked names and time steps."""
        if set(inputs) != set(self.input_names):
            wanted = ", ".join(self.input_names)
            raise UsageError(f"inputs {sorted(inputs)}", "they are not this network's", f"Give exactly: {wanted}")
        leading = {name: tuple(x_TBN.shape[:2]) for name, x_TBN in inputs.items()}
        if len(set(leading.values())) != 1:
            fix = "Encode them with the same number of steps and samples"
            raise UsageError(f"inputs of [T, B] {leading}", "the inputs of one batch must agree in both", fix)
        if next(iter(leading.values()))[0] == 0:
            raise UsageError("inputs with T = 0", "there is no step to run", "Give at least one step")
        return [inputs[name] for name in self.input_names]
