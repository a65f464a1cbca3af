"""The ANN twins of `s-cmrl`: the same layers with a ReLU for every LIF and a product for every coincidence.

Every frame passes through its embedding, a still once; their means over frames meet and pass once through the rest,
where attention over time has one step. Per frame, everything runs for each frame, attention over time sees all of
them, and the last layer takes the mean over frames.

Shape suffixes: B samples, F frames.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from spikeport.models.family import Shapes
from spikeport.models.network import SpikingNetwork
from spikeport.models.scmrl.build import behind, embeddings, token_grid
from spikeport.models.scmrl.chip import Product
from spikeport.models.scmrl.layers import Neurons
from spikeport.models.scmrl.params import ScmrlParams, Stage
from spikeport.models.side_twin import SideTwin
from spikeport.models.sides import Side
from spikeport.models.twin import RELU, Equivalent, rectifier


class ScmrlTwin(SideTwin):
    """See the module."""

    def __init__(self, params: ScmrlParams, shapes: Shapes, classes: int, equivalent: Equivalent) -> None:
        super().__init__(params, shapes, equivalent)
        relu = partial(rectifier, equivalent)
        neurons = Neurons(plain=relu, attention=relu, align=relu, slow=relu, both=Product)
        made = embeddings(params, shapes, neurons)
        self.embeddings = nn.ModuleDict({str(side): module for side, module in made.items()})
        segments = behind(params, token_grid(params, shapes), classes, neurons)
        self.behind = SpikingNetwork(segments, tuple(f"x_{side}" for side in params.sides))

    @property
    def nets(self) -> nn.ModuleDict:
        """The embedding of each modality."""
        return self.embeddings

    def steps(self, x_BF: Tensor) -> Tensor:
        """Return [F, B, *], or the mean over frames as one step."""
        return (x_BF if self.per_frame else x_BF.mean(1, keepdim=True)).transpose(0, 1)


def twin(params: ScmrlParams, shapes: Shapes, classes: int, equivalent: Equivalent = RELU) -> ScmrlTwin:
    """Return the twin that `equivalent` names.

    Raises:
        UsageError: a matched one is asked for without what to match.
    """
    if equivalent.kind != "matched":
        return ScmrlTwin(params, shapes, classes, equivalent)
    widths = dict.fromkeys(max(1, round(params.channels / params.heads * 2 ** (q / 4))) for q in range(-12, 13))
    made = [ScmrlTwin(_scaled(params, width * params.heads), shapes, classes, equivalent) for width in widths]
    wanted = equivalent.to_match()
    return min(made, key=lambda net: abs(net.macs(equivalent.frames or 1) - wanted))


def _scaled(params: ScmrlParams, channels: int) -> ScmrlParams:
    def wide(side: Side) -> tuple[Stage, ...]:
        *before, last = params.stages(side)
        factor = channels / params.channels
        narrow = [s.model_copy(update={"channels": max(1, round(s.channels * factor))}) for s in before]
        return (*narrow, last.model_copy(update={"channels": channels}))

    changes = {"channels": channels, "audio": wide("audio"), "visual": wide("visual")}
    return params.model_copy(update=changes)
