"""Every layer that is converted or runs on the host, in the settings that matter, and some that are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import snntorch
from torch import nn

from spikeport.export.shapes import Shape
from spikeport.export.support.cases import IMAGE, LINE, VECTOR, Between, Case, First, FirstOf, Layer, leaky

GROUP = "Layers"
Make = Callable[[], nn.Module]

# (layer, setting): its input's shape, the layer, and what stands before it, if that matters.
CHIP: dict[tuple[str, str], tuple[Shape, Make, Make | None]] = {
    ("Linear", "plain"): (VECTOR, lambda: nn.Linear(8, 6), None),
    ("Linear", "`bias=False`"): (VECTOR, lambda: nn.Linear(8, 6, bias=False), None),
    ("Conv1d", "plain"): (LINE, lambda: nn.Conv1d(2, 4, 3, stride=2, padding=1), None),
    ("Conv1d", "`groups`, `dilation`"): (LINE, lambda: nn.Conv1d(2, 4, 3, groups=2, dilation=2), None),
    ("Conv2d", "plain"): (IMAGE, lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1), None),
    ("Conv2d", "`groups`, `dilation`"): (IMAGE, lambda: nn.Conv2d(2, 4, 3, groups=2, dilation=2), None),
    ("Conv2d", "`padding='same'`, 1 by 3"): (IMAGE, lambda: nn.Conv2d(2, 4, (1, 3), padding="same"), None),
    ("Conv2d", "`padding_mode='reflect'`"): (
        IMAGE,
        lambda: nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"),
        None,
    ),
    ("ConvTranspose1d", "plain"): (LINE, lambda: nn.ConvTranspose1d(2, 4, 3, padding=1), None),
    ("ConvTranspose1d", "`stride=2`"): (LINE, lambda: nn.ConvTranspose1d(2, 4, 3, stride=2, output_padding=1), None),
    ("ConvTranspose2d", "plain"): (IMAGE, lambda: nn.ConvTranspose2d(2, 4, 3, padding=1), None),
    ("ConvTranspose2d", "`stride=2`"): (IMAGE, lambda: nn.ConvTranspose2d(2, 4, 2, stride=2), None),
    ("ConvTranspose2d", "`groups`, `dilation`"): (
        IMAGE,
        lambda: nn.ConvTranspose2d(2, 4, 3, groups=2, dilation=2),
        None,
    ),
    ("Upsample", "`mode='nearest'`"): (IMAGE, lambda: nn.Upsample(scale_factor=2), None),
    ("Upsample", "`mode='bilinear'`"): (IMAGE, lambda: nn.Upsample(scale_factor=2, mode="bilinear"), None),
    ("Upsample", "`mode='bicubic'`"): (IMAGE, lambda: nn.Upsample(scale_factor=2, mode="bicubic"), None),
    ("UpsamplingNearest2d", "plain"): (IMAGE, lambda: nn.UpsamplingNearest2d(scale_factor=2), None),
    ("UpsamplingBilinear2d", "plain"): (IMAGE, lambda: nn.UpsamplingBilinear2d(scale_factor=2), None),
    ("PixelShuffle", "plain"): ((8, 3, 3), lambda: nn.PixelShuffle(2), None),
    ("ZeroPad1d", "plain"): (LINE, lambda: nn.ZeroPad1d((1, 2)), None),
    ("ZeroPad2d", "plain"): (IMAGE, lambda: nn.ZeroPad2d((1, 0, 2, 1)), None),
    ("ConstantPad1d", "of 0.5"): (LINE, lambda: nn.ConstantPad1d(1, 0.5), None),
    ("ConstantPad2d", "of 0.5"): (IMAGE, lambda: nn.ConstantPad2d(1, 0.5), None),
    ("ReflectionPad2d", "plain"): (IMAGE, lambda: nn.ReflectionPad2d(1), None),
    ("Conv3d", "plain"): ((2, 4, 4, 4), lambda: nn.Conv3d(2, 4, 3), None),
    ("AvgPool1d", "plain"): (LINE, lambda: nn.AvgPool1d(3, 2, padding=1), None),
    ("AvgPool1d", "`ceil_mode=True`"): (LINE, lambda: nn.AvgPool1d(3, ceil_mode=True), None),
    ("AvgPool2d", "plain"): (IMAGE, lambda: nn.AvgPool2d(3, 2, padding=1), None),
    ("AvgPool2d", "`divisor_override=1`"): (IMAGE, lambda: nn.AvgPool2d(2, divisor_override=1), None),
    ("AvgPool2d", "`divisor_override=3`"): (IMAGE, lambda: nn.AvgPool2d(2, divisor_override=3), None),
    ("AvgPool2d", "`ceil_mode=True`"): (IMAGE, lambda: nn.AvgPool2d(4, ceil_mode=True), None),
    ("AvgPool2d", "`count_include_pad=False`"): (
        IMAGE,
        lambda: nn.AvgPool2d(3, padding=1, count_include_pad=False),
        None,
    ),
    ("AdaptiveAvgPool1d", "to a divisor"): (LINE, lambda: nn.AdaptiveAvgPool1d(4), None),
    ("AdaptiveAvgPool1d", "to another size"): (LINE, lambda: nn.AdaptiveAvgPool1d(3), None),
    ("AdaptiveAvgPool2d", "to a divisor"): (IMAGE, lambda: nn.AdaptiveAvgPool2d(3), None),
    ("AdaptiveAvgPool2d", "to another size"): (IMAGE, lambda: nn.AdaptiveAvgPool2d(4), None),
    ("MaxPool1d", "of spikes"): (LINE, lambda: nn.MaxPool1d(2), leaky),
    ("AvgPool1d", "of features"): (VECTOR, lambda: nn.AvgPool1d(2), None),
    ("MaxPool1d", "of values"): (LINE, lambda: nn.MaxPool1d(2), lambda: nn.Conv1d(2, 2, 1)),
    ("MaxPool2d", "of spikes"): (IMAGE, lambda: nn.MaxPool2d(2), leaky),
    ("MaxPool2d", "of spikes, `ceil_mode=True`"): (IMAGE, lambda: nn.MaxPool2d(4, ceil_mode=True), leaky),
    ("MaxPool2d", "of graded spikes"): (
        IMAGE,
        lambda: nn.MaxPool2d(2),
        lambda: leaky(graded_spikes_factor=0.5),
    ),
    ("MaxPool2d", "of values"): (IMAGE, lambda: nn.MaxPool2d(2), lambda: nn.Conv2d(2, 2, 1)),
    ("BatchNorm1d", "behind a Linear"): (VECTOR, lambda: nn.BatchNorm1d(6), lambda: nn.Linear(8, 6)),
    ("BatchNorm1d", "elsewhere"): (VECTOR, lambda: nn.BatchNorm1d(8), None),
    ("BatchNorm2d", "behind a Conv2d"): (IMAGE, lambda: nn.BatchNorm2d(3), lambda: nn.Conv2d(2, 3, 3)),
    ("BatchNorm2d", "elsewhere"): (IMAGE, lambda: nn.BatchNorm2d(2), None),
    ("BatchNorm2d", "`track_running_stats=False`"): (
        IMAGE,
        lambda: nn.BatchNorm2d(2, track_running_stats=False),
        None,
    ),
    ("BatchNormTT1d", "`time_steps=1`"): (VECTOR, lambda: FirstOf(snntorch.BatchNormTT1d(8, 1)), None),
    ("BatchNormTT1d", "`time_steps=3`"): (VECTOR, lambda: FirstOf(snntorch.BatchNormTT1d(8, 3)), None),
    ("BatchNormTT2d", "`time_steps=1`"): (IMAGE, lambda: FirstOf(snntorch.BatchNormTT2d(2, 1)), None),
    ("BatchNormTT2d", "`time_steps=3`"): (IMAGE, lambda: FirstOf(snntorch.BatchNormTT2d(2, 3)), None),
    ("GradedSpikes", "plain"): ((8, 8), lambda: snntorch.GradedSpikes(8, 0.5), leaky),
    ("Flatten", "plain"): (IMAGE, nn.Flatten, None),
    ("Flatten", "`start_dim=0`"): (IMAGE, lambda: nn.Flatten(0), None),
    ("LSTM", "plain"): (VECTOR, lambda: First(nn.LSTM(8, 8)), None),
}
REMOVED: tuple[tuple[str, Make, Shape], ...] = (
    ("Identity", nn.Identity, VECTOR),
    ("Dropout", nn.Dropout, VECTOR),
    ("Dropout1d", nn.Dropout1d, LINE),
    ("Dropout2d", nn.Dropout2d, IMAGE),
    ("AlphaDropout", nn.AlphaDropout, VECTOR),
)
HOST: tuple[tuple[str, Make, Shape], ...] = (
    ("ReLU", nn.ReLU, VECTOR),
    ("LeakyReLU", nn.LeakyReLU, VECTOR),
    ("GELU", nn.GELU, VECTOR),
    ("SiLU", nn.SiLU, VECTOR),
    ("Sigmoid", nn.Sigmoid, VECTOR),
    ("Tanh", nn.Tanh, VECTOR),
    ("Softmax", lambda: nn.Softmax(1), VECTOR),
    ("LogSoftmax", lambda: nn.Sequential(nn.LogSoftmax(1), nn.Linear(8, 8)), VECTOR),
    ("LayerNorm", lambda: nn.LayerNorm(8), VECTOR),
    ("GroupNorm", lambda: nn.GroupNorm(1, 2), IMAGE),
    ("InstanceNorm1d", lambda: nn.InstanceNorm1d(2), LINE),
    ("InstanceNorm2d", lambda: nn.InstanceNorm2d(2), IMAGE),
    ("Unflatten", lambda: nn.Unflatten(1, (2, 4)), VECTOR),
)


def layer_cases() -> Iterator[Case]:
    """Yield the cases."""
    for (name, setting), (shape, make, before) in CHIP.items():
        yield _case(name, setting, shape, make, before)
    for name, make, shape in (*REMOVED, *HOST):
        yield _case(name, "plain", shape, make, None)


def _case(name: str, setting: str, shape: Shape, make: Make, before: Make | None) -> Case:
    return Case(GROUP, name, setting, lambda: Between(before(), make()) if before else Layer(make()), shape)
