"""Random layers: each returns the layer, the shape of what it gives, and the feature that it stands for."""

from __future__ import annotations

import torch
from random_draws import Draws, Shape
from torch import nn

Drawn = tuple[nn.Module, Shape, str]


def size_after(layer: nn.Module, size: Shape) -> Shape:
    return tuple(layer(torch.zeros(1, *size)).shape[1:])


def dense(draws: Draws, size: Shape) -> Drawn:
    layer = nn.Linear(size[-1], draws.integer(2, 9), bias=draws.chance(0.7))
    draws.strengthen(layer)
    return layer, (*size[:-1], layer.out_features), "Linear" if layer.bias is not None else "Linear without bias"


def conv2d(draws: Draws, size: Shape) -> Drawn:
    c, h, w = size
    groups = c if draws.chance(0.4) else 1
    out = draws.integer(1, 4) * groups
    kernel = (draws.integer(1, 1 + min(3, h)), draws.integer(1, 1 + min(3, w)))
    # torch warns of 'same' with even kernels.
    same = draws.chance(0.4) and all(k % 2 for k in kernel)
    stride = (1, 1) if same else (draws.integer(1, 3), draws.integer(1, 3))
    padding = "same" if same else (draws.integer(0, 2), draws.integer(0, 2))
    dilation = 2 if draws.chance(0.4) and min(h, w) >= 5 else 1
    layer = nn.Conv2d(c, out, kernel, stride, padding, dilation, groups, bias=draws.chance(0.7))
    draws.strengthen(layer)
    for feature, there in (
        ("grouped conv", groups > 1),
        ("dilated conv", dilation > 1),
        ("non-square conv", kernel[0] != kernel[1]),
        ("same padding", same),
        ("strided conv", max(stride) > 1),
    ):
        if there:
            draws.features.add(feature)
    return layer, size_after(layer, size), "Conv2d"


def conv1d(draws: Draws, size: Shape) -> Drawn:
    c, length = size
    groups = c if draws.chance(0.4) else 1
    kernel = draws.integer(1, 1 + min(3, length))
    same = draws.chance(0.3) and kernel % 2 == 1
    layer = nn.Conv1d(
        c,
        draws.integer(1, 4) * groups,
        kernel,
        stride=1 if same else draws.integer(1, 3),
        padding="same" if same else draws.integer(0, 2),
        dilation=2 if draws.chance(0.2) and length >= 5 else 1,
        groups=groups,
        bias=draws.chance(0.7),
    )
    draws.strengthen(layer)
    return layer, size_after(layer, size), "Conv1d"


def norm(draws: Draws, size: Shape) -> Drawn:
    layer = (nn.BatchNorm2d if len(size) == 3 else nn.BatchNorm1d)(size[0])
    for tensor, low, high in (
        (layer.running_mean, -1, 1),
        (layer.running_var, 0.3, 2),
        (layer.weight.data, -1.5, 1.5),
        (layer.bias.data, -1, 1),
    ):
        tensor.copy_(torch.tensor(draws.rng.uniform(low, high, tensor.shape)))
    return layer, size, f"{type(layer).__name__}{' over a line' if len(size) == 2 else ''}"


def pool2d(draws: Draws, size: Shape) -> Drawn:
    kind = draws.choice(["avg", "avg", "sum", "sum", "max", "max", "adaptive", "adaptive"])
    padding = draws.integer(0, 2)
    layer: nn.Module = {
        "avg": lambda: nn.AvgPool2d(2, padding=padding),
        "sum": lambda: nn.AvgPool2d(2, padding=padding, divisor_override=1),
        "max": lambda: nn.MaxPool2d(2, stride=1),
        "adaptive": lambda: nn.AdaptiveAvgPool2d(1),
    }[kind]()
    names = {"max": "MaxPool2d of spikes", "sum": "sum pooling", "avg": "AvgPool2d", "adaptive": "AdaptiveAvgPool2d"}
    return layer, size_after(layer, size), names[kind]


def pool1d(draws: Draws, size: Shape) -> Drawn:
    kind = draws.choice(["avg", "max", "adaptive"])
    padding = draws.integer(0, 2)
    layer: nn.Module = {
        "avg": lambda: nn.AvgPool1d(2, padding=padding),
        "max": lambda: nn.MaxPool1d(2, padding=padding),
        "adaptive": lambda: nn.AdaptiveAvgPool1d(1),
    }[kind]()
    return layer, size_after(layer, size), "MaxPool1d of spikes" if kind == "max" else "AvgPool1d"
