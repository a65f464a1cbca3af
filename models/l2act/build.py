"""Building `l2-actspikenet`.

both          encoders (step) -> l2 (windows) -> fusion (step) -> readout
both, spikes  encoders and fusion (step) -> readout
one           encoders (step) -> l2 (windows) -> readout, a head
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from spikeport.models.family import Shapes
from spikeport.models.l2act.encoders import OneEncoder, Shape, TwoEncoders, feature_shape, make_net, pooled
from spikeport.models.l2act.fusion import Head, Smlp, Streamed, ThreeAnswers
from spikeport.models.l2act.layers import Activation, lif
from spikeport.models.l2act.normalise import Embedding, TwoEmbeddings
from spikeport.models.l2act.params import L2ActParams
from spikeport.models.network import CORE, LOGITS, READOUT, Segment, SpikeRate, SpikingNetwork
from spikeport.models.sides import Side, input_names

HIDDEN = "hidden"
Segments = list[Segment]


class L2ActNetwork(SpikingNetwork):
    """A network that knows what it was built of, so that another form of it can be built."""

    def __init__(self, segments: Segments, params: L2ActParams, shapes: Shapes, classes: int) -> None:
        super().__init__(segments, input_names(params))
        self.params, self.shapes, self.classes = params, dict(shapes), classes


def build(params: L2ActParams, shapes: Shapes, classes: int) -> L2ActNetwork:
    """Return the spiking network for inputs of `shapes` a step.

    Raises:
        UsageError: an input has a form that its net does not take.
    """
    activation = partial(lif, params)
    nets = {side: make_net(params, side, shapes[params.input_of(side)], activation) for side in params.sides}
    features = {side: feature_shape(params, side, shapes[params.input_of(side)]) for side in params.sides}
    first, *others = behind(params, features, classes, activation)
    names, written = input_names(params), spikes(params)
    fixed = params.stage == "fusion"
    encoders = TwoEncoders(nets, fixed) if len(nets) == 2 else OneEncoder(nets)
    if params.fusion_reads == "spikes":
        assert isinstance(first.module, Smlp)
        core = Segment(CORE, "step", Streamed(encoders, first.module), names, (*written, *first.outputs))
        return L2ActNetwork([core, *others], params, shapes, classes)
    return L2ActNetwork(
        [Segment("encoders", "step", encoders, names, written), first, *others], params, shapes, classes
    )


def behind(params: L2ActParams, features: Mapping[Side, Shape], classes: int, activation: Activation) -> Segments:
    """Return what stands behind the encoders; it reads `x_visual` and `x_audio`, of shapes `features` a step."""
    widths = {side: (shape[0],) for side, shape in features.items()}
    if params.modality != "both":
        return _alone(params, widths[params.modality][0], classes)
    if params.fusion_reads == "spikes":
        return [
            _fusion(params, features, spikes(params), activation),
            _readout(params, widths, spikes(params), classes),
        ]
    e = embeddings(params)
    return [
        Segment("l2", "sequence", TwoEmbeddings(params.l2, params.beta), spikes(params), e),
        _fusion(params, widths, e, activation),
        _readout(params, widths, e, classes),
    ]


def _alone(params: L2ActParams, width: int, classes: int) -> Segments:
    """A head; where no norm is asked for, it reads the spikes themselves."""
    head = Head(width, classes, params.head_bias)
    if params.l2.scale == "none" and params.l2.on != "membrane":
        return [Segment(READOUT, "readout", head, spikes(params), (LOGITS,))]
    layer = Segment("l2", "sequence", Embedding(params.l2, params.beta), spikes(params), embeddings(params))
    return [layer, Segment(READOUT, "readout", head, embeddings(params), (LOGITS,))]


def _fusion(
    params: L2ActParams, features: Mapping[Side, Shape], read: tuple[str, ...], activation: Activation
) -> Segment:
    both = (features["visual"], features["audio"])
    smlp = Smlp(both, params.fusion, activation, detached=params.stage == "encoders")
    return Segment("fusion", "step", smlp, read, (HIDDEN,))


def _readout(params: L2ActParams, widths: Mapping[Side, Shape], read: tuple[str, ...], classes: int) -> Segment:
    answer = SpikeRate(params.fusion[-1], classes)
    if not params.with_heads:
        return Segment(READOUT, "readout", answer, (HIDDEN,), (LOGITS,))
    visual, audio = (Head(widths[side][0], classes, params.head_bias) for side in params.sides)
    if params.stage == "fusion":
        nn.ModuleList([visual, audio]).requires_grad_(False)
    answers = (LOGITS, *(f"logits_{side}" for side in params.sides))
    return Segment(READOUT, "readout", ThreeAnswers(answer, visual, audio), (HIDDEN, *read), answers)


def spikes(params: L2ActParams) -> tuple[str, ...]:
    """Return what the encoders' spikes are called."""
    return tuple(f"x_{side}" for side in params.sides)


def embeddings(params: L2ActParams) -> tuple[str, ...]:
    """Return what the embeddings are called."""
    return tuple(f"e_{side}" for side in params.sides)


def embedded(network: L2ActNetwork, inputs: Mapping[str, Tensor]) -> dict[Side, Tensor]:
    """Return each modality's embeddings [B, C] for encoded `inputs`; rates, where the network has no L2 layer."""
    tensors = network.tensors(inputs)
    return {side: pooled(tensors.get(f"e_{side}", tensors[f"x_{side}"])).mean(0) for side in network.params.sides}
