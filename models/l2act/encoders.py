"""The two nets, one step of each: from a picture to spikes of every channel and pixel, from sound to a vector.

Shape suffixes: B samples, C channels, H and W rows and columns, D elements of a vector.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import torch
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.l2act.blocks import BLOCKS
from spikeport.models.l2act.layers import Activation, conv_neuron, conv_norm, linear_neuron
from spikeport.models.l2act.params import AudioParams, L2ActParams, VisualParams
from spikeport.models.sides import Side

Shape = tuple[int, ...]


def visual_net(params: VisualParams, shape: Shape, activation: Activation) -> nn.Sequential:
    """Return the spiking ResNet: [B, C, H, W] to [B, C', H', W'].

    A `membrane-shortcut` net carries real values between blocks: its stem has no neurons, and its last block is
    followed by some.
    """
    by_membrane = params.block == "membrane-shortcut"
    stem = conv_norm(shape[0], params.stem_channels, params.stem_stride)
    if not by_membrane:
        stem.append(activation())
    layers, before = [stem], params.stem_channels
    make = BLOCKS[params.block]
    for stage in params.stages:
        for index in range(stage.blocks):
            layers.append(make(before, stage.channels, stage.stride if index == 0 else 1, activation))  # type: ignore[arg-type]
            before = stage.channels
    return nn.Sequential(*layers, activation()) if by_membrane else nn.Sequential(*layers)


def audio_net(params: AudioParams, shape: Shape, activation: Activation) -> nn.Sequential:
    """Return the compact net: [B, 1, H, W] or [B, D] to [B, D'].

    A picture passes convolutions with a mean over 2 x 2 behind each, the last of which is taken together with the
    mean over what is left of the picture: the same where its sides are even.
    """
    if len(shape) == 1:
        return nn.Sequential(*_fc(params, shape[0], activation))
    sizes = _audio_sizes(params, shape)
    layers: list[nn.Module] = []
    for (before, after), size in zip(pairwise((shape[0], *params.channels)), sizes, strict=True):
        layers += [conv_neuron(before, after, activation), nn.AvgPool2d(2 if size is not sizes[-1] else size)]
    return nn.Sequential(*layers, nn.Flatten(), *_fc(params, params.channels[-1], activation))


def _fc(params: AudioParams, before: int, activation: Activation) -> list[nn.Module]:
    return [linear_neuron(a, b, activation, params.norm) for a, b in pairwise((before, *params.fc))]


def _audio_sizes(params: AudioParams, shape: Shape) -> list[tuple[int, int]]:
    """Return rows and columns behind each convolution."""
    rows, columns = shape[1:]
    sizes = [(rows >> k, columns >> k) for k in range(len(params.channels))]
    if min(sizes[-1]) == 0:
        reason = f"{len(sizes) - 1} halvings leave nothing of it"
        raise UsageError(
            f"input '{params.input}' of shape {list(shape)}", reason, "Give fewer model.params.audio.channels"
        )
    return sizes


def feature_shape(params: L2ActParams, side: Side, shape: Shape) -> Shape:
    """Return what one step of a modality's net gives for inputs of `shape`.

    Raises:
        UsageError: the input has a form that the net does not take.
    """
    axes = (3,) if side == "visual" else (1, 3)
    if len(shape) not in axes:
        name, wanted = params.input_of(side), " or ".join(map(str, axes))
        fix = f"Give its encoding a shape, encodings.{name}.params.shape"
        raise UsageError(f"input '{name}' of shape {list(shape)}", f"it needs {wanted} axes a step", fix)
    if side == "audio":
        return (params.audio.fc[-1],)
    rows, columns = shape[1:]
    for stride in (params.visual.stem_stride, *(stage.stride for stage in params.visual.stages)):
        rows, columns = ceil(rows / stride), ceil(columns / stride)
    return params.visual.stages[-1].channels, rows, columns


def make_net(params: L2ActParams, side: Side, shape: Shape, activation: Activation) -> nn.Sequential:
    """Return the net of one modality for inputs of `shape` a step."""
    feature_shape(params, side, shape)
    if side == "visual":
        return visual_net(params.visual, shape, activation)
    return audio_net(params.audio, shape, activation)


class Encoders(nn.Module):
    """The nets of the modalities that there are. Fixed ones learn nothing, in batch statistics either."""

    def __init__(self, nets: dict[Side, nn.Sequential], fixed: bool = False) -> None:
        super().__init__()
        for side, net in nets.items():
            self.add_module(side, net)
        self.fixed = fixed
        if fixed:
            self.requires_grad_(False)
            self.eval()

    def train(self, mode: bool = True) -> Encoders:
        """Switch to training, unless fixed."""
        super().train(mode and not self.fixed)
        return self


class OneEncoder(Encoders):
    """A single modality's net."""

    def forward(self, x: Tensor) -> Tensor:
        """Return its spikes."""
        (net,) = self.children()
        out: Tensor = net(x)
        return out


class TwoEncoders(Encoders):
    """Both nets side by side."""

    visual: nn.Module
    audio: nn.Module

    def forward(self, visual: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spikes of each."""
        return self.visual(visual), self.audio(audio)


def pooled(x_TB: Tensor) -> Tensor:
    """Return windows [T, B, C, H, W] as [T, B, C], the mean over the picture; [T, B, C] as it is."""
    return torch.mean(x_TB.flatten(3), 3) if x_TB.ndim > 3 else x_TB
