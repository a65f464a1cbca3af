"""The ANN twin: the spiking network's layers with ReLU for every neuron, on inputs before encoding.

Shape suffixes: B samples, F frames, N features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from spikeport.errors import UsageError


class Twin(nn.Module):
    """Base of all twins.

    Attributes:
        input_names: the inputs that `forward` takes.
        frame_inputs: those of shape [B, F, *]; a layer fed by one runs once a frame.
    """

    def __init__(self, input_names: tuple[str, ...], frame_inputs: frozenset[str]) -> None:
        super().__init__()
        self.input_names = input_names
        self.frame_inputs = frame_inputs

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits_BK for analog inputs of shape [B, *raw] ([B, F, *raw] for frame inputs)."""
        if set(inputs) != set(self.input_names):
            wanted = ", ".join(self.input_names)
            raise UsageError(f"inputs {sorted(inputs)}", "they are not this twin's", f"Give exactly: {wanted}")
        return self.logits(inputs)

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits_BK; `inputs` are checked."""
        raise NotImplementedError

    def runs_per_sample(self, frames: int) -> dict[str, int]:
        """Return how often each layer with weights runs for one sample of `frames` frames."""
        raise NotImplementedError


def mean_over_frames(branch: nn.Module, x_BFN: Tensor) -> Tensor:
    """Return `mean_f branch(x[:, f])`: every frame by itself, as the spiking network sees it a step."""
    out_BFN: Tensor = branch(x_BFN.flatten(0, 1)).unflatten(0, x_BFN.shape[:2])
    return out_BFN.mean(1)
