"""Running a host stage step by step under onnxruntime, which hands its own state on.

Shapes: B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.export.host_state import STATE_IN, STATE_OUT
from spikeport.export.onnx_stage import HostArray, HostFunction
from spikeport.export.shapes import Shape


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
