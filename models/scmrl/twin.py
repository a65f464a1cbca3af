"""The ANN twins of `s-cmrl`: the same layers with a ReLU for every LIF and a product for every coincidence.

Every frame passes through its embedding, a still once; their means over frames meet and pass once through the rest,
where attention over time has one step. Per frame, everything runs for each frame, and the answers are averaged.

Shape suffixes: B samples, F frames, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.family import Shapes
from spikeport.models.network import SpikingNetwork
from spikeport.models.scmrl.build import behind, embeddings, input_names, token_grid
from spikeport.models.scmrl.chip import Product
from spikeport.models.scmrl.layers import Neurons
from spikeport.models.scmrl.params import ScmrlParams, Side, Stage
from spikeport.models.twin import Equivalent, QuantisedReLU, Twin

RELU = Equivalent()


class ScmrlTwin(Twin):
    """See the module."""

    def __init__(self, params: ScmrlParams, shapes: Shapes, classes: int, equivalent: Equivalent) -> None:
        super().__init__(input_names(params), frozenset(equivalent.frame_inputs))
        self.per_frame = equivalent.kind == "per-frame"
        if self.per_frame and not self.frame_inputs:
            raise UsageError("key 'twin.kind'", "the network takes no sequence, so it has no frames", "Choose relu")
        neurons = _rectifiers(equivalent)
        self.sides = params.sides
        self.shapes = {name: tuple(shapes[name]) for name in self.input_names}
        made = embeddings(params, shapes, neurons)
        self.embeddings = nn.ModuleDict({str(side): module for side, module in made.items()})
        segments = behind(params, token_grid(params, shapes), classes, neurons)
        self.behind = SpikingNetwork(segments, tuple(f"x_{side}" for side in params.sides))

    def compute(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the segments write for stills [B, *shape] and sequences [B, F, *shape]."""
        windows = {name: self._window(name, x) for name, x in inputs.items()}
        frames = max(x.shape[1] for x in windows.values())
        embedded = {}
        for side, name in zip(self.sides, self.input_names, strict=True):
            window = windows[name]
            if self.per_frame:
                window = window.expand(-1, frames, *window.shape[2:])
            tokens = self.embeddings[side](window.flatten(0, 1)).unflatten(0, window.shape[:2])
            embedded[f"x_{side}"] = (tokens if self.per_frame else tokens.mean(1, keepdim=True)).transpose(0, 1)
        return self.behind.tensors(embedded, folded=True)

    def _window(self, name: str, x: Tensor) -> Tensor:
        """Return [B, F, channels, rows, columns]; F is 1 for a still."""
        frames = x.shape[1] if name in self.frame_inputs else 1
        return x.reshape(len(x), frames, *self.shapes[name])

    def macs(self, frames: int) -> int:
        """Return the multiply-accumulates of its layers per sample, those on padding included."""
        found = 0

        def count(layer: Any, _: Any, output: Tensor) -> None:
            nonlocal found
            found += output.numel() * layer.weight[0].numel()

        handles = [m.register_forward_hook(count) for m in self.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
        sizes = {name: (1, frames) if name in self.frame_inputs else (1,) for name in self.input_names}
        training = self.training
        with torch.no_grad():
            self.eval().compute({name: torch.zeros(*sizes[name], *self.shapes[name]) for name in self.input_names})
        self.train(training)
        for handle in handles:
            handle.remove()
        return found

    def runs_per_sample(self, frames: int) -> dict[str, int]:
        """Return the runs of each layer with weights: `frames` where it sees every frame, 1 elsewhere."""
        every = set(self.modules()) if self.per_frame else self._frame_layers()
        return {
            path: frames if layer in every else 1
            for path, layer in self.named_modules()
            if isinstance(layer, (nn.Linear, nn.Conv2d))
        }

    def _frame_layers(self) -> set[nn.Module]:
        sides = (side for side, name in zip(self.sides, self.input_names, strict=True) if name in self.frame_inputs)
        return {layer for side in sides for layer in self.embeddings[side].modules()}


def twin(params: ScmrlParams, shapes: Shapes, classes: int, equivalent: Equivalent = RELU) -> ScmrlTwin:
    """Return the twin that `equivalent` names.

    Raises:
        UsageError: a matched one is asked for without what to match.
    """
    if equivalent.kind != "matched":
        return ScmrlTwin(params, shapes, classes, equivalent)
    if equivalent.macs is None:
        raise UsageError("key 'twin.macs'", "a matched twin needs the number to match", "--set twin.macs=N")
    widths = dict.fromkeys(max(1, round(params.channels / params.heads * 2 ** (q / 4))) for q in range(-12, 13))
    made = [ScmrlTwin(_scaled(params, width * params.heads), shapes, classes, equivalent) for width in widths]
    wanted = equivalent.macs
    return min(made, key=lambda net: abs(net.macs(equivalent.frames or 1) - wanted))


def _rectifiers(equivalent: Equivalent) -> Neurons:
    def relu() -> nn.Module:
        return QuantisedReLU(equivalent.bits) if equivalent.kind == "quantised" else nn.ReLU()

    return Neurons(plain=relu, attention=relu, slow=relu, both=Product)


def _scaled(params: ScmrlParams, channels: int) -> ScmrlParams:
    def wide(side: Side) -> tuple[Stage, ...]:
        *before, last = params.stages(side)
        factor = channels / params.channels
        narrow = [s.model_copy(update={"channels": max(1, round(s.channels * factor))}) for s in before]
        return (*narrow, last.model_copy(update={"channels": channels}))

    changes = {"channels": channels, "audio": wide("audio"), "visual": wide("visual")}
    return params.model_copy(update=changes)
