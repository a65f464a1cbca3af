"""The parameters of `s-cmrl` and of the networks that it is compared with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spikeport.models.family import Params
from spikeport.models.sides import Side

Count = Annotated[int, Field(gt=0)]
Pair = tuple[Count, Count]
Branch = Literal["spatial", "temporal"]
Fault = Literal["attention-threshold", "scrambled-heads", "detached-membrane"]
FAULTS: tuple[Fault, ...] = ("attention-threshold", "scrambled-heads", "detached-membrane")
SIDES: tuple[Side, Side] = ("audio", "visual")


class Stage(Params):
    """One stage of a patch embedding: convolution, batch norm, LIF and, with `pool`, a maximum of 3 x 3, stride 2."""

    channels: Count
    kernel: Count | Pair = 3
    stride: Count | Pair = 1
    padding: Annotated[int, Field(ge=0)] = 1
    pool: bool = False


def paper_stages(channels: int) -> tuple[Stage, ...]:
    """Return the paper's patch embedding: C/8, C/4, C/2 and C channels, each halving the picture."""
    return tuple(Stage(channels=channels // share, pool=True) for share in (8, 4, 2, 1))


class ScmrlParams(Params):
    """Parameters of `s-cmrl`.

    Attributes:
        form: `paper`: as its code runs, faults included; `fixed`: without them; `chip`: of operations that chips have.
        method: `s-cmrl`; or what it is compared with: `none` (addition or concatenation alone), `weight` (a weight
            for each modality and step), `sca` (cross attention in place of the features, SMMT), `cmci` (a joint
            branch with a head of its own beside one for each modality).
        modality: both, or a single one, which leaves the method out.
        self_attention: whether a single modality attends to itself, as Spikformer does; else only an MLP follows its
            embedding. Not in the chip form.
        inputs: what the audio and the visual input are called.
        fuse: how the two pooled embeddings meet before the last layer.
        channels: C, the width of the embeddings.
        heads: of the attention; they divide C.
        mlp_ratio: hidden channels of the MLP over C.
        audio: stages of the audio patch embedding; by default the paper's.
        visual: stages of the visual one; both end with the same number of tokens.
        alpha: weight of the cross-modal residual.
        branches: of the attention; both, or one for an ablation.
        align: whether the residual goes through the semantic alignment layer, LIF(Linear(R)).
        tau: membrane time constant in steps: `v += (I - v) / tau`.
        trace_tau: that of the chip form's temporal gate, which remembers the past.
        v_threshold: firing threshold.
        attention_threshold: that of the neurons behind the attention.
        align_threshold: that of the alignment layer's neurons.
        fires: `at` the threshold too, v >= v_threshold, as the published code; or only `above`, as snnTorch, NIR and
            chips do. By default `at` in `paper`, `above` elsewhere.
        slope: of the surrogate gradient, the derivative of sigmoid(slope (v - v_threshold)).
        faults: which of the published code's faults to reproduce; by default all of them in `paper`, none elsewhere.
    """

    form: Literal["paper", "fixed", "chip"] = "fixed"
    method: Literal["s-cmrl", "none", "weight", "sca", "cmci"] = "s-cmrl"
    modality: Literal["both", "audio", "visual"] = "both"
    self_attention: bool = False
    inputs: tuple[str, str] = SIDES
    fuse: Literal["add", "concat"] = "add"
    channels: Count = 256
    heads: Count = 16
    mlp_ratio: Count = 4
    audio: tuple[Stage, ...] | None = None
    visual: tuple[Stage, ...] | None = None
    alpha: Annotated[float, Field(ge=0)] = 1.5
    branches: tuple[Branch, ...] = Field(default=("spatial", "temporal"), min_length=1)
    align: bool = True
    tau: Annotated[float, Field(gt=1)] = 2.0
    trace_tau: Annotated[float, Field(gt=1)] = 8.0
    v_threshold: Annotated[float, Field(gt=0)] = 1.0
    attention_threshold: Annotated[float, Field(gt=0)] = 0.5
    align_threshold: Annotated[float, Field(gt=0)] = 0.5
    fires: Literal["at", "above"] | None = None
    slope: Annotated[float, Field(gt=0)] = 4.0
    faults: tuple[Fault, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ScmrlParams:
        if self.channels % self.heads:
            raise ValueError(f"heads {self.heads} must divide channels {self.channels}")
        if len(set(self.branches)) < len(self.branches):
            raise ValueError(f"branches {list(self.branches)} name one twice")
        if self.form == "chip" and self.faults:
            raise ValueError(f"faults {list(self.faults)} are the published code's, which the chip form is not")
        if self.self_attention and (self.modality == "both" or self.form == "chip"):
            raise ValueError("self_attention is a single modality's, and not the chip form's")
        for side in SIDES:
            if self.stages(side)[-1].channels != self.channels:
                raise ValueError(f"the last stage of {side} must have channels {self.channels}")
        return self

    def stages(self, side: Side) -> tuple[Stage, ...]:
        """Return the patch embedding's stages of one modality."""
        return (self.audio if side == "audio" else self.visual) or paper_stages(self.channels)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The modalities that there are, in the order in which the network takes them."""
        return SIDES if self.modality == "both" else (self.modality,)

    def input_of(self, side: Side) -> str:
        """Return what the input of one modality is called."""
        return self.inputs[SIDES.index(side)]

    @property
    def fires_at_threshold(self) -> bool:
        """Whether a neuron spikes where it just reaches its threshold."""
        return self.form == "paper" if self.fires is None else self.fires == "at"

    def has(self, fault: Fault) -> bool:
        """Return whether the network is to have `fault`."""
        return fault in ((FAULTS if self.form == "paper" else ()) if self.faults is None else self.faults)
