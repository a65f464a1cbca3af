"""Host stages: a torch function as an ONNX file that onnxruntime runs, equal to torch within rounding.

Shapes: T time, B batch, N the incoming value's shape.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
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
TIME, BATCH = "T", "B"
"""What the ONNX files call their free dimensions."""

HostArray = NDArray[np.float32]


def export_window(
    function: nn.Module, sample_TBN: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str], path: Path
) -> None:
    """Write `function`, which maps whole windows [T, B, *shape] to windows or to [B, *shape], with free T and B.

    Raises:
        UnfaithfulError: torch cannot express it in ONNX.
    """
    # A dimension of size 1 would be taken for a constant.
    examples = tuple(torch.zeros(max(2, x.shape[0]), max(2, x.shape[1]), *x.shape[2:]) for x in sample_TBN)
    dimensions = {0: torch.export.Dim(TIME), 1: torch.export.Dim(BATCH)}
    export_torch(function, examples, tuple(dimensions for _ in examples), inputs, outputs, path)


def export_step(
    function: nn.Module, sample_BN: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str], path: Path
) -> None:
    """Write `function`, which maps one step [B, *shape] to [B, *shape] and keeps nothing, as ONNX with free B.

    Raises:
        UnfaithfulError: torch cannot express it in ONNX.
    """
    batch = torch.export.Dim(BATCH)
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


class HostFunction:
    """An ONNX file under onnxruntime."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.path = path
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
        given = {n: np.ascontiguousarray(x, dtype=np.float32) for n, x in inputs.items()}
        try:
            values = self.session.run(names, given)
        except Exception as error:
            shapes = {n: x.shape for n, x in given.items()}
            reason = f"onnxruntime cannot run it on {shapes} ({str(error).splitlines()[0]})"
            raise ArtefactError(str(self.path), reason, "Export the bundle again") from error
        return dict(zip(names, values, strict=True))


def host_difference(expected: HostArray, got: HostArray) -> float:
    """Return the largest difference relative to the largest expected value (at least 1); NaN is no number's equal."""
    with np.errstate(invalid="ignore"):
        apart = float(np.max(np.abs(expected - got), initial=0.0) / max(1.0, np.max(np.abs(expected), initial=0.0)))
    return np.inf if np.isnan(apart) else apart
