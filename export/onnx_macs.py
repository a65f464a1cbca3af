"""The multiply-accumulates of a host stage's ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import onnx
import onnx.numpy_helper
from numpy.typing import NDArray

from spikeport.export.shapes import Shape

# Operators that move, split or join values: no arithmetic.
FREE = {
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast", "Constant", "Concat", "Split"),
    *("Expand", "Shape"),
}


def macs_per_call(path: Path, sizes: Mapping[str, int] | None = None) -> tuple[int, tuple[str, ...]]:
    """Return the multiply-accumulates of one call on one sample, and the operators that this leaves out.

    Args:
        path: the ONNX file.
        sizes: of free dimensions by name, T of a window say; one that is not named counts once.
    """
    model = onnx.shape_inference.infer_shapes(_sized(onnx.load(path), sizes or {}), data_prop=bool(sizes))
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    shapes |= {w.name: tuple(w.dims) for w in model.graph.initializer}
    weights = {w.name for w in model.graph.initializer}
    macs, left_out = 0, set()
    for node in model.graph.node:
        known = all(name in shapes for name in (*node.input[:2], *node.output[:1]))
        if node.op_type in ("Gemm", "MatMul") and known:
            macs += _matmul_macs(node, shapes, weights)
        elif node.op_type == "Conv" and known and all(shapes[node.input[0]][2:]):
            macs += _conv_macs(node, shapes)
        elif node.op_type not in FREE:
            left_out.add(node.op_type)
    return macs, tuple(sorted(left_out))


def _sized(model: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """Give the free dimensions of the inputs their sizes; what is inferred from them is forgotten."""
    if sizes:
        del model.graph.value_info[:]
    for value in model.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in sizes:
                dimension.dim_value = sizes[dimension.dim_param]
    return model


def stored_weights(path: Path) -> int:
    """Return how many weights the file holds, biases and scalars not among them."""
    return sum(w.size for w in _weights(path))


def zero_weights(path: Path) -> int:
    """Return how many of them are 0."""
    return sum(int((w == 0).sum()) for w in _weights(path))


def _weights(path: Path) -> list[NDArray[Any]]:
    return [onnx.numpy_helper.to_array(w) for w in onnx.load(path).graph.initializer if len(w.dims) > 1]


def _matmul_macs(node: onnx.NodeProto, shapes: Mapping[str, Shape], weights: set[str]) -> int:
    """One product is a MAC; dimensions that are free (T, B) count once, and stand as 0 in the shapes."""
    summed = shapes[node.input[1]][-2:] if node.input[1] in weights else shapes[node.input[0]][-1:]
    inner = shapes[node.input[0]][-1] if node.op_type == "MatMul" else prod(summed) // shapes[node.output[0]][-1]
    return inner * prod(n for n in shapes[node.output[0]] if n)


def _conv_macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Weights of shape (O, C / groups, *k) meet inputs at the borders only where there are some: O C / groups prod n.

    n is an axis' number of pairs of an output and a tap that reads an input, not padding.
    """
    channels, per_group, *kernel = shapes[node.input[1]]
    before, after = shapes[node.input[0]][2:], shapes[node.output[0]][2:]
    given: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    strides, dilations = given.get("strides", [1] * len(kernel)), given.get("dilations", [1] * len(kernel))
    pads = given.get("pads", [0] * len(kernel))
    pairs = 1
    for i, taps in enumerate(kernel):
        pad = _padding_before(given.get("auto_pad", b"NOTSET"), before[i], after[i], strides[i], dilations[i], taps)
        starts = (o * strides[i] - (pads[i] if pad is None else pad) for o in range(after[i]))
        pairs *= sum(0 <= start + k * dilations[i] < before[i] for start in starts for k in range(taps))
    return channels * per_group * pairs


def _padding_before(auto: bytes, before: int, after: int, stride: int, dilation: int, taps: int) -> int | None:
    """Return the padding that ONNX chooses in front, `None` where the file states it."""
    total = max((after - 1) * stride + (taps - 1) * dilation + 1 - before, 0)
    return {b"SAME_UPPER": total // 2, b"SAME_LOWER": -(-total // 2), b"VALID": 0}.get(auto)
