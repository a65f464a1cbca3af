"""ONNX for edge runtimes: the spiking network as one stateful step, and plain torch modules such as the ANN twin.

`write_step_onnx(graph, path)` and `write_ann_onnx(module, example_inputs, path)`; each has a check that holds the file,
under onnxruntime, against what it was made from.
"""

from spikeport.export.onnx.ann import write_ann_onnx
from spikeport.export.onnx.step import run_step_onnx, verify_step_onnx, write_step_onnx

__all__ = ["run_step_onnx", "verify_step_onnx", "write_ann_onnx", "write_step_onnx"]
