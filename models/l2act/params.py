"""The parameters of `l2-actspikenet`.

The paper (arXiv:2502.10423) leaves neuron, encoding, scale and training open; every such choice is a parameter here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from spikeport.errors import UsageError
from spikeport.models.family import Params
from spikeport.models.sides import Side

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Block = Literal["act-after-add", "sew", "membrane-shortcut", "standard"]
SIDES: tuple[Side, Side] = ("visual", "audio")


class Stage(Params):
    """`blocks` residual blocks of `channels`, the first of which takes every `stride`-th pixel."""

    channels: Count
    blocks: Count = 2
    stride: Count = 1


RESNET18 = (Stage(channels=64), *(Stage(channels=c, stride=2) for c in (128, 256, 512)))


class VisualParams(Params):
    """The visual net.

    Attributes:
        input: what its input is called.
        block: see `spikeport.models.l2act.blocks`.
        stem: channels of the convolution before the stages; by default the first stage's.
        stem_stride: its stride.
        stages: by default a ResNet-18's for small pictures: no max pooling.
    """

    input: str = "visual"
    block: Block = "act-after-add"
    stem: Count | None = None
    stem_stride: Count = 1
    stages: tuple[Stage, ...] = Field(default=RESNET18, min_length=1)

    @property
    def stem_channels(self) -> int:
        """Channels behind the stem."""
        return self.stem or self.stages[0].channels


class AudioParams(Params):
    """The audio net.

    Attributes:
        input: what its input is called.
        channels: of the convolutions, each followed by a mean over 2 x 2; of a picture only: a vector has none.
        fc: widths of the fully connected layers behind them, or of all layers where the input is a vector.
        norm: whether a batch norm stands in front of the fully connected layers' neurons.
    """

    input: str = "audio"
    channels: tuple[Count, ...] = Field(default=(32, 64, 128), min_length=1)
    fc: tuple[Count, ...] = Field(default=(128,), min_length=1)
    norm: bool = True


class L2Params(Params):
    """The L2 layer, `e = s r / max(||r||, eps)`.

    Attributes:
        on: what r is: `rate`, the mean over time, so that a sample has one embedding; `per-step`, each step's spikes;
            `membrane`, that of a leaky integrator of the spikes at the last step, beta being the neurons'.
        scale: s; `sqrt-d` is the root of r's length; `none` leaves the norm out, `e = gain r`.
        gain: of r where the norm is left out and a fusion reads the embeddings: what a scale does without the norm.
        eps: norms below it count as it: the gradient at silence is s / eps.
    """

    on: Literal["rate", "per-step", "membrane"] = "rate"
    scale: Positive | Literal["sqrt-d", "none"] = "sqrt-d"
    gain: Positive = 1.0
    eps: Positive = 0.1


class L2ActParams(Params):
    """Parameters of `l2-actspikenet`.

    Attributes:
        modality: both, or a single one with a head of its own and no fusion.
        visual: the visual net.
        audio: the audio net.
        l2: the L2 layer.
        fusion: widths of the spiking MLP's hidden layers.
        fusion_reads: the `embeddings`, as constant currents; or the encoders' `spikes` as they come, without L2, so
            that all but the readout is one chip stage.
        stage: of training. `joint`: everything learns from the answer. `encoders`: the nets learn from the loss
            `heads` alone, and the fusion learns along on what they give. `fusion`: the nets are fixed.
        heads: whether each modality has a head, `logits_visual` and `logits_audio`, for the loss `heads`; the
            stages `encoders` and `fusion` always have.
        head_bias: whether heads have a bias. Without one, a single modality's decision does not depend on the norm.
        reset: of a neuron's membrane after a spike. `zero` is one NIR node and what Loihi and Lava do; `subtract`
            keeps what exceeds the threshold, and is three NIR nodes, which those refuse.
        beta: decay of all membranes a step.
        threshold: firing threshold.
        slope: sharpness of the arctangent surrogate gradient.
    """

    modality: Literal["both", "visual", "audio"] = "both"
    visual: VisualParams = VisualParams()
    audio: AudioParams = AudioParams()
    l2: L2Params = L2Params()
    fusion: tuple[Count, ...] = Field(default=(256,), min_length=1)
    fusion_reads: Literal["embeddings", "spikes"] = "embeddings"
    stage: Literal["joint", "encoders", "fusion"] = "joint"
    heads: bool = False
    head_bias: bool = False
    reset: Literal["zero", "subtract"] = "zero"
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.9
    threshold: Positive = 1.0
    slope: Positive = 2.0

    @model_validator(mode="after")
    def _consistent(self) -> L2ActParams:
        if self.modality != "both" and self.with_heads:
            raise ValueError(f"modality {self.modality} is one net with one head: it takes neither stage nor heads")
        if self.fusion_reads == "spikes" and (self.l2.scale != "none" or self.l2.on != "rate"):
            raise ValueError("fusion_reads spikes leaves the L2 layer out: it needs l2.scale none and l2.on rate")
        if self.l2.gain != 1 and (self.l2.scale, self.modality, self.fusion_reads) != ("none", "both", "embeddings"):
            raise ValueError(
                "l2.gain stands for the norm of both modalities: it needs l2.scale none and a fusion of both"
            )
        if self.fusion_reads == "spikes" and self.modality != "both":
            raise ValueError(f"fusion_reads is of both modalities, and modality is {self.modality}")
        if self.modality == "both" and self.visual.input == self.audio.input:
            raise ValueError(f"visual.input and audio.input are both '{self.audio.input}'")
        return self

    @property
    def sides(self) -> tuple[Side, ...]:
        """The modalities that there are, in the order in which the network takes them."""
        return SIDES if self.modality == "both" else (self.modality,)

    def check_training(self, losses: Collection[str], starts: bool) -> None:
        """Raise where a stage would leave the encoders as they were drawn."""
        subject = f"key 'model.params.stage' = {self.stage}"
        if self.stage == "encoders" and "heads" not in losses:
            reason = "the encoders learn from the loss 'heads' alone, and training.losses does not name it"
            raise UsageError(subject, reason, "Add --set 'training.losses=[{name: heads}]'")
        if self.stage == "fusion" and not starts:
            reason = "the encoders are fixed, and without another run's weights they would stay as they were drawn"
            raise UsageError(subject, reason, "Add --from RUN, of a run with stage encoders")

    @property
    def with_heads(self) -> bool:
        """Whether each modality of a fused network has a head."""
        return self.heads or self.stage != "joint"

    def input_of(self, side: Side) -> str:
        """Return what the input of one modality is called."""
        return self.visual.input if side == "visual" else self.audio.input
