"""torch layers of stateless NIR nodes; their weights are trainable.

Shapes: the layers take [B, *shape].
"""

from __future__ import annotations

from typing import Any, TypeVar

import nir
import numpy as np
import torch
from torch import Tensor, nn

from spikeport.export.shapes import Shape, conv_geometry, pair

L = TypeVar("L", bound=nn.Linear | nn.Conv1d | nn.Conv2d)


def layer(node: nir.NIRNode, shape: Shape, dtype: torch.dtype) -> nn.Module | None:
    """Return the torch layer of `node` for an input of `shape`, or `None` where it has none of its own."""
    if isinstance(node, nir.Affine | nir.Linear):
        outputs, inputs = node.weight.shape
        bias = getattr(node, "bias", None)
        linear = nn.Linear(inputs, outputs, bias=bias is not None, dtype=dtype)
        return _with_weights(linear, node.weight, bias)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution(node, dtype)
    if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        divisor = 1 if isinstance(node, nir.SumPool2d) else None
        sizes = (pair(node.kernel_size), pair(node.stride), pair(node.padding))
        return nn.AvgPool2d(*sizes, divisor_override=divisor)
    if isinstance(node, nir.Flatten):
        rank = len(shape)
        return nn.Flatten(int(node.start_dim) % rank + 1, int(node.end_dim) % rank + 1)
    return None


def tensor(values: object, dtype: torch.dtype) -> Tensor:
    """Return `values` as a tensor that owns its memory."""
    return torch.from_numpy(np.array(values, dtype=np.float64)).to(dtype)


def constant(values: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    """Return `values` as a tensor, one number where all are the same."""
    first = values.flat[0]
    return tensor(first if np.all(values == first) else values, dtype)


def _convolution(node: nir.Conv1d | nir.Conv2d, dtype: torch.dtype) -> nn.Conv1d | nn.Conv2d:
    """NIR has no convolution without a bias: one of zeros is none."""
    flat = isinstance(node, nir.Conv1d)
    stride, dilation, pads = conv_geometry(node)
    named = isinstance(node.padding, str | bytes)
    padding: Any = _name(node.padding) if named else tuple(before for before, _ in pads)
    bias = np.asarray(node.bias) if np.any(node.bias) else None
    kind: Any = nn.Conv1d if flat else nn.Conv2d
    convolution: nn.Conv1d | nn.Conv2d = kind(
        int(node.weight.shape[1]) * int(node.groups),
        int(node.weight.shape[0]),
        kernel_size=tuple(node.weight.shape[2:]),
        stride=stride[1:] if flat else stride,
        padding=padding[1:] if flat and not named else padding,
        dilation=dilation[1:] if flat else dilation,
        groups=int(node.groups),
        bias=bias is not None,
        dtype=dtype,
    )
    return _with_weights(convolution, node.weight, bias)


def _name(padding: str | bytes) -> str:
    return padding.decode() if isinstance(padding, bytes) else padding


def _with_weights(module: L, weight: object, bias: object | None) -> L:
    with torch.no_grad():
        module.weight.copy_(tensor(weight, module.weight.dtype))
        if module.bias is not None:
            module.bias.copy_(tensor(bias, module.weight.dtype))
    return module
