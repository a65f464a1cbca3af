"""Functional forms of layers, `F.max_pool2d(x, 2)` or `F.linear(x, w, b)`, as the layers that they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx, nn

_AVERAGE = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_MAXIMUM = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_CONVOLUTION = ("weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_RESIZING = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")

# For each function, its layer and the names of its arguments behind the input, in order.
LAYERS: Mapping[Any, tuple[type[nn.Module], tuple[str, ...]]] = {
    F.avg_pool1d: (nn.AvgPool1d, _AVERAGE),
    F.avg_pool2d: (nn.AvgPool2d, (*_AVERAGE, "divisor_override")),
    F.max_pool1d: (nn.MaxPool1d, _MAXIMUM),
    F.max_pool2d: (nn.MaxPool2d, _MAXIMUM),
    F.adaptive_avg_pool1d: (nn.AdaptiveAvgPool1d, ("output_size",)),
    F.adaptive_avg_pool2d: (nn.AdaptiveAvgPool2d, ("output_size",)),
    F.linear: (nn.Linear, ("weight", "bias")),
    F.conv1d: (nn.Conv1d, _CONVOLUTION),
    F.conv2d: (nn.Conv2d, _CONVOLUTION),
    F.conv_transpose1d: (nn.ConvTranspose1d, _TRANSPOSED),
    F.conv_transpose2d: (nn.ConvTranspose2d, _TRANSPOSED),
    F.interpolate: (nn.Upsample, _RESIZING),
    F.upsample: (nn.Upsample, _RESIZING[:4]),
    F.pixel_shuffle: (nn.PixelShuffle, ("upscale_factor",)),
}


def use_layers(graph: fx.Graph, root: nn.Module) -> None:
    """Put layers in the place of their functional forms, where their settings and weights are constants."""
    for node in [node for node in graph.nodes if node.op == "call_function" and node.target in LAYERS]:
        kind, names = LAYERS[node.target]
        given = dict(zip(("input", *names), node.args, strict=False)) | node.kwargs
        signal = given.pop("input")
        settings = {name: _constant(value, root) for name, value in given.items()}
        # Antialiasing is a setting that no layer has.
        if any(isinstance(value, fx.Node) for value in settings.values()) or settings.pop("antialias", False):
            continue
        name = _free(node.name, root)
        root.add_module(name, _layer(kind, settings))
        with graph.inserting_before(node):
            called = graph.call_module(name, (signal,))
        node.replace_all_uses_with(called)
        graph.erase_node(node)


def _constant(value: Any, root: nn.Module) -> Any:
    """Return the parameter or buffer that a traced argument reads; any other as it is."""
    if not isinstance(value, fx.Node) or value.op != "get_attr":
        return value
    owner, _, name = str(value.target).rpartition(".")
    return getattr(root.get_submodule(owner), name)


def _layer(kind: type[nn.Module], settings: dict[str, Any]) -> nn.Module:
    if "weight" not in settings:
        return kind(**settings)
    weight: Tensor = settings.pop("weight")
    bias: Tensor | None = settings.pop("bias", None)
    if kind is nn.Linear:
        layer: nn.Module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    else:
        settings |= {"bias": bias is not None, "device": "meta"}
        before, after = weight.shape[1] * settings.get("groups", 1), weight.shape[0]
        if kind in (nn.ConvTranspose1d, nn.ConvTranspose2d):
            before, after = after, before
        layer = kind(before, after, tuple(weight.shape[2:]), **settings)
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer


def _free(wanted: str, root: nn.Module) -> str:
    names = (wanted, *(f"{wanted}_{i}" for i in range(2, len(list(root.children())) + 3)))
    return next(name for name in names if not hasattr(root, name))
