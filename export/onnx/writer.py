"""An ONNX graph under construction: operators, constants, inputs, outputs, states. The batch is free everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import helper, numpy_helper

from spikeport.errors import UnfaithfulError
from spikeport.export.shapes import Shape

# Old enough for the runtimes on devices; nothing here needs a newer one.
OPSET, IR = 17, 8
MAX_BYTES = 2_000_000_000
BATCH = "B"


class Writer:
    """Collects an ONNX graph whose numbers are all of `dtype`."""

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.type = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: dict[str, onnx.ValueInfoProto] = {}
        self.outputs: dict[str, onnx.ValueInfoProto] = {}

    def number(self, value: ArrayLike) -> str:
        """Return a constant of the graph's type."""
        return self._constant(np.array(value, dtype=self.dtype))

    def parameter(self, values: ArrayLike) -> str:
        """Return a constant with one value an element, a single number where all are the same."""
        array = np.asarray(values, dtype=self.dtype)
        return self.number(array.flat[0] if np.all(array == array.flat[0]) else array)

    def sizes(self, *values: int) -> str:
        """Return a constant of whole numbers: a shape, axes, starts."""
        return self._constant(np.array(values, dtype=np.int64))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator and return its one output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape all but the batch."""
        return self.op("Reshape", x, self.sizes(0, *shape))

    def scaled(self, x: str, factor: ArrayLike) -> str:
        """Return `factor x`, x itself where the factor is 1 in the graph's type."""
        if np.all(np.asarray(factor, dtype=self.dtype) == 1):
            return x
        return self.op("Mul", x, self.parameter(factor))

    def sum(self, *terms: str) -> str:
        """Return the sum of at least one value."""
        total = terms[0]
        for term in terms[1:]:
            total = self.op("Add", total, term)
        return total

    def input(self, name: str, shape: Shape) -> str:
        """Add an input [B, *shape], once."""
        if name not in self.inputs:
            self.inputs[name] = helper.make_tensor_value_info(name, self.type, [BATCH, *shape])
        return name

    def output(self, name: str, value: str, shape: Shape) -> None:
        """Show `value` as the output `name`, [B, *shape]."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self.outputs[name] = helper.make_tensor_value_info(name, self.type, [BATCH, *shape])

    def state(self, place: str, shape: Shape) -> str:
        """Return the state `place` of the step before."""
        return self.input(f"state_in/{place}", shape)

    def keep(self, place: str, value: str, shape: Shape) -> None:
        """Give the state `place` on to the next step."""
        self.output(f"state_out/{place}", value, shape)

    def model(self, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
        """Return the checked model.

        Raises:
            UnfaithfulError: it is larger than an ONNX file can be.
        """
        size = sum(len(tensor.raw_data) for tensor in self.constants)
        if size > MAX_BYTES:
            raise UnfaithfulError(f"graph '{name}'", f"its weights take {size} bytes, ONNX files end at 2 GB", "Cut it")
        graph = helper.make_graph(
            self.nodes, name, list(self.inputs.values()), list(self.outputs.values()), self.constants
        )
        model = helper.make_model(
            graph, producer_name="spikeport", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name
