"""Host stages: a torch function as an ONNX file that onnxruntime runs, equal to torch within rounding.

Shapes: T time, B batch, N the incoming value's shape.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping
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
    private = copy.deepcopy(function).cpu().eval()
    # A dimension of size 1 would be taken for a constant.
    example = torch.zeros(max(2, sample_TBN.shape[0]), max(2, sample_TBN.shape[1]), *sample_TBN.shape[2:])
    dimensions = {0: torch.export.Dim("T"), 1: torch.export.Dim("B")}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch 2.13 trips over its own deprecations while it exports.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                private,
                (example,),
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=(dimensions,),
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
    weights = {w.name: tuple(w.dims) for w in model.graph.initializer}
    macs, left_out = 0, set()
    for node in model.graph.node:
        sizes = [weights[name] for name in node.input[1:2] if name in weights]
        if node.op_type in ("Gemm", "MatMul") and sizes and len(sizes[0]) == 2:
            macs += prod(sizes[0])
        elif node.op_type not in FREE:
            left_out.add(node.op_type)
    return macs, tuple(sorted(left_out))


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
