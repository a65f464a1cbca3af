"""What the ANN twins of networks with a net for each modality, and segments behind them, have in common.

Shape suffixes: B samples, F frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikeport.models.family import Shapes
from spikeport.models.network import SpikingNetwork
from spikeport.models.sides import SideParams, input_names
from spikeport.models.twin import Equivalent, Twin


class SideTwin(Twin, ABC):
    """Every frame passes through its modality's net, a still once; `steps` are what the segments behind then see.

    Per frame, a still passes once a frame.

    Attributes:
        behind: the segments, which read `x_SIDE` and write `logits`.
    """

    behind: SpikingNetwork

    def __init__(self, params: SideParams, shapes: Shapes, equivalent: Equivalent) -> None:
        super().__init__(input_names(params), equivalent.frame_inputs, equivalent)
        self.sides = params.sides
        self.shapes = {name: tuple(shapes[name]) for name in self.input_names}

    @property
    @abstractmethod
    def nets(self) -> nn.ModuleDict:
        """The net of each modality."""

    @abstractmethod
    def steps(self, x_BF: Tensor) -> Tensor:
        """Return [T, B', *], what stands behind the nets sees of what they give, [B, F, *]."""

    def answers(self, tensors: dict[str, Tensor], frames: int) -> dict[str, Tensor]:
        """Return the twin's own tensors, [B, *] each answer, of those that the segments write."""
        return tensors

    def compute(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the segments write for stills [B, *shape] and sequences [B, F, *shape]."""
        windows = {name: self._window(name, x) for name, x in inputs.items()}
        frames = max(x.shape[1] for x in windows.values())
        found = {}
        for side, name in zip(self.sides, self.input_names, strict=True):
            window = windows[name]
            if self.per_frame:
                window = window.expand(-1, frames, *window.shape[2:])
            x_BF: Tensor = self.nets[side](window.flatten(0, 1)).unflatten(0, window.shape[:2])
            found[f"x_{side}"] = self.steps(x_BF)
        return self.answers(self.behind.tensors(found, folded=True), frames)

    def _window(self, name: str, x: Tensor) -> Tensor:
        """Return [B, F, *shape]; F is 1 for a still."""
        frames = x.shape[1] if name in self.frame_inputs else 1
        return x.reshape(len(x), frames, *self.shapes[name])

    def macs(self, frames: int) -> int:
        """Return the multiply-accumulates of its layers per sample, those on padding included."""
        found = 0

        def count(layer: Any, _: Any, output: Tensor) -> None:
            nonlocal found
            found += output.numel() * layer.weight[0].numel()

        handles = [layer.register_forward_hook(count) for _, layer in self.weighted()]
        sizes = {name: (1, frames) if name in self.frame_inputs else (1,) for name in self.input_names}
        training = self.training
        with torch.no_grad():
            self.eval().compute({name: torch.zeros(*sizes[name], *self.shapes[name]) for name in self.input_names})
        self.train(training)
        for handle in handles:
            handle.remove()
        return found

    def frame_layers(self) -> set[nn.Module]:
        """Return what runs once a frame: the nets of the sequences."""
        sides = (side for side, name in zip(self.sides, self.input_names, strict=True) if name in self.frame_inputs)
        return {layer for side in sides for layer in self.nets[side].modules()}
