"""Running a host stage under onnxruntime; step by step where it has state, which it is handed on.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.export.host_state import STATE_IN, STATE_OUT
from spikeport.export.onnx_stage import HostArray, HostFunction
from spikeport.export.shapes import Shape
from spikeport.export.stages import HostStage


def run_host(stage: HostStage, inputs_TB: Mapping[str, NDArray[np.generic]]) -> dict[str, HostArray]:
    """Return what a stage answers for its inputs, by the names in its file.

    One with state is called step by step, one without on all steps at once, and a window stage once. What a window
    stage answers has no time axis of its own and becomes one step; a sequence stage answers with T steps.

    Raises:
        ArtefactError: the file does not run on these inputs, or gives less than the stage says.
    """
    steps, batch = next(iter(inputs_TB.values())).shape[:2]
    if stage.states:
        stepper = HostStepper(stage.path, stage.states, batch)
        rows = [stepper.step({node: x[t] for node, x in inputs_TB.items()}) for t in range(steps)]
        return {node: np.stack([_given(stage, row, node) for row in rows]) for node in stage.outputs}
    if stage.form == "step":
        inputs_TB = {node: x.reshape(steps * batch, *x.shape[2:]) for node, x in inputs_TB.items()}
    values = HostFunction(stage.path)(inputs_TB)
    answers = {}
    for node in stage.outputs:
        y = _given(stage, values, node)
        shape = {"step": (steps, batch, *y.shape[1:]), "sequence": y.shape, "window": (1, *y.shape)}[stage.form]
        if y.size != prod(shape):
            raise ArtefactError(str(stage.path), f"it answers '{node}' with {y.shape}", "Export the bundle again")
        answers[node] = y.reshape(shape)
    return answers


def _given(stage: HostStage, values: Mapping[str, HostArray], node: str) -> HostArray:
    if node not in values:
        raise ArtefactError(str(stage.path), f"it gives no '{node}'", "Export the bundle again")
    return values[node]


class HostStepper:
    """A step stage with its state.

    Args:
        path: the ONNX file.
        states: the shape of each state, without batch.
        batch: samples; each starts with all states 0.

    Raises:
        ArtefactError: the file does not have such states.
    """

    def __init__(self, path: Path, states: Mapping[str, Shape], batch: int) -> None:
        self.function = HostFunction(path)
        session = self.function.session
        known = {value.name for value in (*session.get_inputs(), *session.get_outputs())}
        for name in states:
            if not {STATE_IN + name, STATE_OUT + name} <= known:
                raise ArtefactError(str(path), f"it has no state '{name}'", "Export the bundle again")
        self.state: dict[str, HostArray] = {n: np.zeros((batch, *shape), np.float32) for n, shape in states.items()}

    def step(self, inputs_B: Mapping[str, NDArray[np.generic]]) -> dict[str, HostArray]:
        """Advance one step; return everything that the file gives, by name."""
        values = self.function({**inputs_B, **{STATE_IN + name: h for name, h in self.state.items()}})
        self.state = {name: values[STATE_OUT + name] for name in self.state}
        return values
