"""The ANN twins of `l2-actspikenet`: the same layers with a ReLU for every LIF.

Every frame passes through its net, a still once; their means over frames are normalised and pass once through the
rest. Per frame, everything runs for each frame, and the answers are averaged.

Shape suffixes: B samples, F frames.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from spikeport.models.family import Shapes
from spikeport.models.l2act.build import behind, spikes
from spikeport.models.l2act.encoders import feature_shape, make_net
from spikeport.models.l2act.params import L2ActParams
from spikeport.models.network import LOGITS, SpikingNetwork
from spikeport.models.side_twin import SideTwin
from spikeport.models.twin import RELU, Equivalent, rectifier


class L2ActTwin(SideTwin):
    """See the module."""

    def __init__(self, params: L2ActParams, shapes: Shapes, classes: int, equivalent: Equivalent) -> None:
        super().__init__(params, shapes, equivalent)
        relu = partial(rectifier, equivalent)
        made = {side: make_net(params, side, self.shapes[params.input_of(side)], relu) for side in self.sides}
        self.encoders = nn.ModuleDict({str(side): net for side, net in made.items()})
        features = {side: feature_shape(params, side, self.shapes[params.input_of(side)]) for side in self.sides}
        self.behind = SpikingNetwork(behind(params, features, classes, relu), spikes(params))

    @property
    def nets(self) -> nn.ModuleDict:
        """The net of each modality."""
        return self.encoders

    def steps(self, x_BF: Tensor) -> Tensor:
        """Return one step of [1, B', *]: each frame as a sample of its own, or the mean over frames."""
        return (x_BF.flatten(0, 1) if self.per_frame else x_BF.mean(1))[None]

    def answers(self, tensors: dict[str, Tensor], frames: int) -> dict[str, Tensor]:
        """Return all; per frame the answers alone, averaged over frames."""
        if not self.per_frame:
            return tensors
        answers = (name for name in tensors if name.startswith(LOGITS))
        return {name: tensors[name].reshape(-1, frames, tensors[name].shape[1]).mean(1) for name in answers}


def twin(params: L2ActParams, shapes: Shapes, classes: int, equivalent: Equivalent = RELU) -> L2ActTwin:
    """Return the twin that `equivalent` names.

    Raises:
        UsageError: a matched one is asked for without what to match.
    """
    if equivalent.kind != "matched":
        return L2ActTwin(params, shapes, classes, equivalent)
    wanted, frames = equivalent.to_match(), equivalent.frames or 1
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
