"""Spoken and written digits: a convolutional and a per-frame branch that meet in one spiking layer.

    image [1,28,28] -> conv -> LIF -> conv -> LIF -> flatten -> Linear --+
                                                                         (+) -> LIF -> counts/T -> Linear
    audio [features] a step -> Linear -> LIF --------------------------> Linear --+

The two Linear edges into the fused LIF are one Linear on the concatenation, written as a chip has it:
currents of several synapses sum at a neuron. The image branch is one neuron layer deeper than the audio
branch on purpose: deployment has to align them.

Shape suffixes: B samples, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import snntorch
import torch
from pydantic import Field
from snntorch import surrogate
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.family import Family, Params, Shapes
from spikeport.models.network import LOGITS, SpikeRate, SpikingNetwork, core_network
from spikeport.models.twin import RELU, Equivalent, Twin, mean_over_frames, rectifier

Count = Annotated[int, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


class AvDigitsParams(Params):
    """Parameters of `av-digits`.

    Attributes:
        modality: which branches there are; a single modality is the same net with one branch.
        channels: output channels of the two convolutions.
        kernels: their kernel sizes.
        strides: their strides.
        audio: neurons of the audio branch's layers.
        fused: neurons of the fused layer.
        beta_image: decay a step of the image branch's membranes.
        beta_audio: decay a step of the audio branch's membranes.
        beta_fused: decay a step of the fused layer's membranes.
        threshold: firing threshold of every neuron.
        gain: factor on PyTorch's initial weights, so that spikes reach the last layer at the start.
        slope: sharpness of the arctangent surrogate gradient.
    """

    modality: Literal["both", "image", "audio"] = "both"
    channels: tuple[Count, Count] = (12, 24)
    kernels: tuple[Count, Count] = (5, 5)
    strides: tuple[Count, Count] = (2, 2)
    audio: tuple[Count, ...] = Field(default=(128,), min_length=1)
    fused: Count = 128
    beta_image: Beta = 0.9
    beta_audio: Beta = 0.8
    beta_fused: Beta = 0.9
    threshold: Positive = 1.0
    gain: Positive = 2.0
    slope: Positive = 2.0


Activation = Callable[[float], nn.Module]


def _image_branch(params: AvDigitsParams, shape: tuple[int, ...], activation: Activation) -> nn.Sequential:
    first, second = params.channels
    return nn.Sequential(
        nn.Conv2d(shape[0], first, params.kernels[0], params.strides[0]),
        activation(params.beta_image),
        nn.Conv2d(first, second, params.kernels[1], params.strides[1]),
        activation(params.beta_image),
        nn.Flatten(),
    )


def _audio_branch(params: AvDigitsParams, shape: tuple[int, ...], activation: Activation) -> nn.Sequential:
    widths = (shape[0], *params.audio)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), activation(params.beta_audio)]
    return nn.Sequential(*layers)


_BRANCHES = {"image": (3, _image_branch), "audio": (1, _audio_branch)}


class _OneBranch(nn.Module):
    """`fuse(fuse_edge(branch(x)))`."""

    def __init__(self, branch: nn.Module, edge: nn.Linear, activation: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.fuse_edge = edge
        self.fuse = activation

    def forward(self, x_B: Tensor) -> Tensor:
        """Return the fused layer's output for one step."""
        out_BN: Tensor = self.fuse(self.fuse_edge(self.branch(x_B)))
        return out_BN


class _TwoBranches(nn.Module):
    """`fuse(fuse_image(image(a)) + fuse_audio(audio(b)))`."""

    def __init__(
        self, image: nn.Module, fuse_image: nn.Linear, audio: nn.Module, fuse_audio: nn.Linear, fuse: nn.Module
    ) -> None:
        super().__init__()
        self.image = image
        self.audio = audio
        self.fuse_image = fuse_image
        self.fuse_audio = fuse_audio
        self.fuse = fuse

    def forward(self, image_B: Tensor, audio_B: Tensor) -> Tensor:
        """Return the fused layer's output for one step."""
        out_BN: Tensor = self.fuse(self.fuse_image(self.image(image_B)) + self.fuse_audio(self.audio(audio_B)))
        return out_BN


def _core(params: AvDigitsParams, shapes: Shapes, activation: Activation) -> _OneBranch | _TwoBranches:
    """Return the core with `activation(beta)` for every neuron; the same layers and names for both kinds."""
    branches, edges = {}, {}
    for name in input_names(params):
        axes, build = _BRANCHES[name]
        shape = shapes[name]
        if len(shape) != axes:
            raise UsageError(f"input '{name}' of shape {list(shape)}", f"it needs {axes} axes a step", "Reshape it")
        branches[name] = build(params, shape, activation)
        edges[name] = nn.Linear(_width(branches[name], shape), params.fused)
    fuse = activation(params.beta_fused)
    if params.modality == "both":
        return _TwoBranches(branches["image"], edges["image"], branches["audio"], edges["audio"], fuse)
    return _OneBranch(branches[params.modality], edges[params.modality], fuse)


def _width(branch: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the number of features that `branch` gives, without touching its neurons' state."""
    stateless = nn.Sequential(*(layer for layer in branch.children() if not isinstance(layer, snntorch.SpikingNeuron)))
    with torch.no_grad():
        return int(stateless(torch.zeros(1, *shape)).shape[1])


def input_names(params: AvDigitsParams) -> tuple[str, ...]:
    """Return the inputs that the network takes under `params`, in the core's order."""
    return ("image", "audio") if params.modality == "both" else (params.modality,)


def build(params: AvDigitsParams, shapes: Shapes, classes: int) -> SpikingNetwork:
    """Return the spiking network for inputs of `shapes` a step (encoded)."""

    def leaky(beta: float) -> nn.Module:
        neuron: nn.Module = snntorch.Leaky(
            beta=beta,
            threshold=params.threshold,
            spike_grad=surrogate.atan(alpha=params.slope),
            init_hidden=True,
            reset_mechanism="zero",
        )
        return neuron

    core = _core(params, shapes, leaky)
    with torch.no_grad():
        for name, weight in core.named_parameters():
            if name.endswith("weight"):
                weight.mul_(params.gain)
    return core_network(core, SpikeRate(params.fused, classes), input_names(params))


class AvDigitsTwin(Twin):
    """`readout(relu(fuse_image(image(a)) + fuse_audio(mean_f audio(b[f]))))`, ReLU for every LIF.

    The still passes once through its branch; every frame passes once through the audio branch and the
    results are averaged, as the spiking network's fused layer integrates them; fusion and readout run
    once. Per frame, everything runs for each frame, the still again and again, and the answers are averaged.
    Weights carry the same names as the spiking network's core.
    """

    def __init__(self, params: AvDigitsParams, shapes: Shapes, classes: int, equivalent: Equivalent = RELU) -> None:
        super().__init__(input_names(params), frozenset({"audio"} & set(input_names(params))), equivalent)
        self.core = _core(params, shapes, lambda _beta: rectifier(equivalent))
        self.readout = nn.Linear(params.fused, classes)

    def compute(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits_BK for image [B, 1, 28, 28] and audio [B, F, N]."""
        return {LOGITS: self._frame_by_frame(inputs) if self.per_frame else self._at_once(inputs)}

    def _at_once(self, inputs: Mapping[str, Tensor]) -> Tensor:
        currents_BN = [
            edge(mean_over_frames(branch, inputs[name]) if name in self.frame_inputs else branch(inputs[name]))
            for name, branch, edge in self._parts()
        ]
        logits_BK: Tensor = self.readout(self.core.fuse(torch.stack(currents_BN).sum(0)))
        return logits_BK

    def _frame_by_frame(self, inputs: Mapping[str, Tensor]) -> Tensor:
        frames = inputs["audio"].shape[1]
        currents = []
        for name, branch, edge in self._parts():
            x = inputs[name]
            every = x if name in self.frame_inputs else x.unsqueeze(1).expand(-1, frames, *x.shape[1:])
            currents.append(edge(branch(every.flatten(0, 1))))
        answers: Tensor = self.readout(self.core.fuse(torch.stack(currents).sum(0)))
        return answers.reshape(-1, frames, answers.shape[1]).mean(1)

    def frame_layers(self) -> set[nn.Module]:
        """Return the layers of the audio branch."""
        return {
            layer for name, branch, _edge in self._parts() if name in self.frame_inputs for layer in branch.modules()
        }

    def _parts(self) -> list[tuple[str, nn.Module, nn.Linear]]:
        core = self.core
        if isinstance(core, _OneBranch):
            return [(self.input_names[0], core.branch, core.fuse_edge)]
        return [("image", core.image, core.fuse_image), ("audio", core.audio, core.fuse_audio)]


def twin(params: AvDigitsParams, shapes: Shapes, classes: int, equivalent: Equivalent = RELU) -> AvDigitsTwin:
    """Return the twin that `equivalent` names."""
    if equivalent.kind != "matched":
        return AvDigitsTwin(params, shapes, classes, equivalent)
    wanted, frames = equivalent.to_match(), equivalent.frames or 1
    widths = [_scaled(params, 2 ** (eighths / 8)) for eighths in range(-32, 33)]
    best = min(widths, key=lambda scaled: abs(twin_macs(scaled, shapes, classes, frames) - wanted))
    return AvDigitsTwin(best, shapes, classes, equivalent)


def _scaled(params: AvDigitsParams, factor: float) -> AvDigitsParams:
    def wide(count: int) -> int:
        return max(1, round(count * factor))

    channels = (wide(params.channels[0]), wide(params.channels[1]))
    changes = {"channels": channels, "audio": tuple(map(wide, params.audio)), "fused": wide(params.fused)}
    return params.model_copy(update=changes)


def twin_macs(params: AvDigitsParams, shapes: Shapes, classes: int, frames: int) -> int:
    """Return the multiply-accumulates per sample of the plain twin: its convolutions have no borders to leave out."""
    total = 0
    if "image" in input_names(params):
        _, height, width = shapes["image"]
        before = shapes["image"][0]
        for channels, kernel, stride in zip(params.channels, params.kernels, params.strides, strict=True):
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            total += channels * height * width * before * kernel**2
            before = channels
        total += before * height * width * params.fused
    if "audio" in input_names(params):
        sizes = (shapes["audio"][0], *params.audio)
        # The edge into the fused layer takes the mean over frames, once.
        total += frames * sum(a * b for a, b in itertools.pairwise(sizes)) + sizes[-1] * params.fused
    return total + params.fused * classes


FAMILY = Family(params=AvDigitsParams, build=build, twin=twin, inputs=input_names)
