"""Host stages: a torch function as an ONNX file that onnxruntime runs, equal to torch within rounding.

Shapes: T time, B batch, N the incoming value's shape.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikeport.errors import ArtefactError, UnfaithfulError

# float32 sums of different order; host outputs are compared relative to their own largest value.
HOST_TOLERANCE = 1e-5
# Operators that move or reshape, or do one addition or comparison an element: no multiply-accumulates.
FREE = {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast", "Constant", "Concat"}

HostArray = NDArray[np.float32]


def export_window(function: nn.Module, sample_TBN: Tensor, path: Path) -> None:
    """Write `function`, which maps a whole window [T, B, *shape] to [B, *shape], as ONNX with free T and B.

    Raises:
        UnfaithfulError: torch cannot express it in ONNX.
    """
    # A dimension of size 1 would be taken for a constant.
    example = torch.zeros(max(2, sample_TBN.shape[0]), max(2, sample_TBN.shape[1]), *sample_TBN.shape[2:])
    dimensions = {0: torch.export.Dim("T"), 1: torch.export.Dim("B")}
    export_torch(function, (example,), (dimensions,), ("input",), ("output",), path)


def export_step(
    function: nn.Module, sample_BN: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str], path: Path
) -> None:
    """Write `function`, which maps one step [B, *shape] to [B, *shape] without state, as ONNX with free B.

    Raises:
        UnfaithfulError: torch cannot express it in ONNX.
    """
    batch = torch.export.Dim("B")
    examples = tuple(torch.zeros(max(2, len(x)), *x.shape[1:]) for x in sample_BN)
    export_torch(function, examples, tuple({0: batch} for _ in examples), inputs, outputs, path)


def export_torch(
    function: nn.Module,
    examples: tuple[Tensor, ...],
    dimensions: tuple[Any, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    path: Path,
) -> None:
    """Write `function(*examples)` as ONNX; `dimensions` names the free ones, as `torch.export.export` takes them.

    Raises:
        UnfaithfulError: torch cannot express it in ONNX.
    """
    private = copy.deepcopy(function).cpu().eval()
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch 2.13 trips over its own deprecations while it exports.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                private,
                examples,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=dimensions,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        raise UnfaithfulError(
            f"host stage {type(function).__name__}",
            f"torch cannot write it as ONNX ({str(error).splitlines()[0]})",
            "Use layers that torch.onnx knows",
        ) from error
    finally:
        logger.setLevel(level)
    assert program is not None
    onnx.save(_without_provenance(program.model_proto), path)


def _without_provenance(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the doc strings and metadata, which hold paths of the machine that exported."""
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
        value.doc_string = ""
    return model


def macs_per_call(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the multiply-accumulates of one call on one sample, and the operators that this leaves out."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    shapes |= {w.name: tuple(w.dims) for w in model.graph.initializer}
    weights = {w.name for w in model.graph.initializer}
    macs, left_out = 0, set()
    for node in model.graph.node:
        if node.op_type in ("Gemm", "MatMul") and node.output[0] in shapes:
            macs += _matmul_macs(node, shapes, weights)
        elif node.op_type not in FREE:
            left_out.add(node.op_type)
    return macs, tuple(sorted(left_out))


def _matmul_macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]], weights: set[str]) -> int:
    """One product is a MAC; dimensions that are free (T, B) count once, and stand as 0 in the shapes."""
    summed = shapes[node.input[1]][-2:] if node.input[1] in weights else shapes[node.input[0]][-1:]
    inner = shapes[node.input[0]][-1] if node.op_type == "MatMul" else prod(summed) // shapes[node.output[0]][-1]
    return inner * prod(n for n in shapes[node.output[0]] if n)


class HostFunction:
    """An ONNX file under onnxruntime."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ArtefactError(
                str(path), f"onnxruntime cannot load it ({error})", "Export the bundle again"
            ) from error

    def __call__(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, HostArray]:
        """Return the outputs by name."""
        names = [output.name for output in self.session.get_outputs()]
        values = self.session.run(names, {n: np.ascontiguousarray(x, dtype=np.float32) for n, x in inputs.items()})
        return dict(zip(names, values, strict=True))


def host_difference(expected: HostArray, got: HostArray) -> float:
    """Return the largest difference relative to the largest expected value (at least 1)."""
    return float(np.max(np.abs(expected - got), initial=0.0) / max(1.0, float(np.max(np.abs(expected), initial=0.0))))
