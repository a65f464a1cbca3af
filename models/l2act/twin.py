"""The ANN twins of `l2-actspikenet`: the same layers with a ReLU for every LIF.

Every frame passes through its net, a still once; their means over frames are normalised and pass once through the
rest. Per frame, everything runs for each frame, and the answers are averaged.

Shape suffixes: B samples, F frames, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.family import Shapes
from spikeport.models.l2act.build import behind, input_names, spikes
from spikeport.models.l2act.encoders import feature_shape, make_net
from spikeport.models.l2act.params import L2ActParams
from spikeport.models.network import SpikingNetwork
from spikeport.models.twin import Equivalent, QuantisedReLU, Twin

RELU = Equivalent()


class L2ActTwin(Twin):
    """See the module."""

    def __init__(self, params: L2ActParams, shapes: Shapes, classes: int, equivalent: Equivalent) -> None:
        super().__init__(input_names(params), frozenset(equivalent.frame_inputs))
        self.per_frame = equivalent.kind == "per-frame"
        if self.per_frame and not self.frame_inputs:
            raise UsageError("key 'twin.kind'", "the network takes no sequence, so it has no frames", "Choose relu")

        def relu() -> nn.Module:
            return QuantisedReLU(equivalent.bits) if equivalent.kind == "quantised" else nn.ReLU()

        self.sides = params.sides
        self.shapes = {name: tuple(shapes[name]) for name in self.input_names}
        made = {side: make_net(params, side, self.shapes[params.input_of(side)], relu) for side in self.sides}
        self.encoders = nn.ModuleDict({str(side): net for side, net in made.items()})
        features = {side: feature_shape(params, side, self.shapes[params.input_of(side)]) for side in self.sides}
        self.behind = SpikingNetwork(behind(params, features, classes, relu), spikes(params))

    def compute(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the segments write for stills [B, *shape] and sequences [B, F, *shape]."""
        windows = {name: self._window(name, x) for name, x in inputs.items()}
        frames = max(x.shape[1] for x in windows.values())
        found = {}
        for side, name in zip(self.sides, self.input_names, strict=True):
            window = windows[name]
            if self.per_frame:
                window = window.expand(-1, frames, *window.shape[2:])
            x_BF: Tensor = self.encoders[side](window.flatten(0, 1)).unflatten(0, window.shape[:2])
            # One step of the rest: each frame as a sample of its own, or the mean over frames.
            found[f"x_{side}"] = (x_BF.flatten(0, 1) if self.per_frame else x_BF.mean(1))[None]
        tensors = self.behind.tensors(found, folded=True)
        if not self.per_frame:
            return tensors
        answers = (name for name in tensors if name.startswith("logits"))
        return {name: tensors[name].reshape(-1, frames, tensors[name].shape[1]).mean(1) for name in answers}

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

        handles = [layer.register_forward_hook(count) for _, layer in self._weighted()]
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
        return {path: frames if layer in every else 1 for path, layer in self._weighted()}

    def _frame_layers(self) -> set[nn.Module]:
        sides = (side for side, name in zip(self.sides, self.input_names, strict=True) if name in self.frame_inputs)
        return {layer for side in sides for layer in self.encoders[side].modules()}

    def _weighted(self) -> list[tuple[str, nn.Module]]:
        return [(path, layer) for path, layer in self.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]


def twin(params: L2ActParams, shapes: Shapes, classes: int, equivalent: Equivalent = RELU) -> L2ActTwin:
    """Return the twin that `equivalent` names.

    Raises:
        UsageError: a matched one is asked for without what to match.
    """
    if equivalent.kind != "matched":
        return L2ActTwin(params, shapes, classes, equivalent)
    if equivalent.macs is None:
        raise UsageError("key 'twin.macs'", "a matched twin needs the number to match", "--set twin.macs=N")
    wanted, frames = equivalent.macs, equivalent.frames or 1
    widths = [_scaled(params, 2 ** (eighths / 8)) for eighths in range(-24, 25)]
    # On the meta device a layer has shapes and no numbers: all of them are tried in a second.
    with torch.device("meta"):
        macs = [L2ActTwin(scaled, shapes, classes, equivalent).macs(frames) for scaled in widths]
    best = min(range(len(widths)), key=lambda index: abs(macs[index] - wanted))
    return L2ActTwin(widths[best], shapes, classes, equivalent)


def _scaled(params: L2ActParams, factor: float) -> L2ActParams:
    def wide(count: int) -> int:
        return max(1, round(count * factor))

    visual, audio = params.visual, params.audio
    stages = tuple(stage.model_copy(update={"channels": wide(stage.channels)}) for stage in visual.stages)
    changes = {
        "visual": visual.model_copy(update={"stages": stages, "stem": wide(visual.stem_channels)}),
        "audio": audio.model_copy(
            update={"channels": tuple(map(wide, audio.channels)), "fc": tuple(map(wide, audio.fc))}
        ),
        "fusion": tuple(map(wide, params.fusion)),
    }
    return params.model_copy(update=changes)
