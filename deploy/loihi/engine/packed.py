"""Inputs as the kernels read them: all side by side, one byte or one 32-bit number an element.

Shapes: T steps, B samples, `*` an input's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.engine.layout import Layout
from spikeport.deploy.loihi.engine.network import IntegerNetwork
from spikeport.errors import UsageError

Array = NDArray[np.generic]


@dataclass(frozen=True)
class PackedInputs:
    """All inputs of a run.

    Attributes:
        rows: [T, B, elements of all inputs], bytes or 32-bit integers.
    """

    rows: Array

    @property
    def timesteps(self) -> int:
        """T."""
        return int(self.rows.shape[0])

    @property
    def samples(self) -> int:
        """B."""
        return int(self.rows.shape[1])

    @property
    def graded(self) -> bool:
        """Whether they are numbers, not bytes of 0 and 1."""
        return self.rows.dtype != np.uint8

    def as_graded(self) -> PackedInputs:
        """Return the same inputs as numbers."""
        return PackedInputs(self.rows.astype(np.int32))


def pack(layout: Layout, inputs_TBN: Mapping[str, Array]) -> PackedInputs:
    """Return the inputs side by side; a single one that already is what the kernels read is not copied.

    Raises:
        UsageError: one is missing, is no whole number, or has another shape.
    """
    flat = flat_inputs(layout.network, inputs_TBN)
    only = next(iter(flat.values()))
    if len(flat) == 1:
        return PackedInputs(np.ascontiguousarray(only))
    kind = np.uint8 if all(x.dtype == np.uint8 for x in flat.values()) else np.int32
    rows = np.zeros((*only.shape[:2], layout.input_width), kind)
    for name, x in flat.items():
        rows[..., layout.inputs[name] : layout.inputs[name] + x.shape[2]] = x
    return PackedInputs(rows)


def flat_inputs(network: IntegerNetwork, inputs_TBN: Mapping[str, Array]) -> dict[str, Array]:
    """Return every input as [T, B, elements], in bytes or, where they do not hold the values, 32-bit integers.

    Raises:
        UsageError: one is missing, is no whole number, or has another shape.
    """
    shapes = network.inputs
    if set(inputs_TBN) != set(shapes):
        raise UsageError(f"inputs {sorted(inputs_TBN)}", f"the network takes {sorted(shapes)}", "Name each once")
    flat = {name: _flat(name, np.asarray(x), shapes[name]) for name, x in inputs_TBN.items()}
    if len(leading := {x.shape[:2] for x in flat.values()}) != 1:
        raise UsageError(f"inputs of [T, B] {sorted(leading)}", "all need the same T and B", "Align them")
    return flat


def _flat(name: str, x: Array, shape: tuple[int, ...]) -> Array:
    """Return [T, B, elements] as bytes or, where they do not hold the values, as 32-bit integers."""
    if x.ndim < 2 or x.shape[2:] != shape:
        raise UsageError(
            f"input '{name}' of shape {x.shape}", f"it is not [T, B, *{shape}]", "Give all steps and samples"
        )
    x = x.reshape(*x.shape[:2], -1)
    if x.dtype == np.bool_:
        return x.view(np.uint8)
    if x.dtype == np.uint8:
        return x
    if x.size and not np.all(np.abs(x.astype(np.float64)) < 2**31):
        raise UsageError(f"input '{name}'", "it holds values beyond 32 bits", "Scale it")
    whole = x.astype(np.int32)
    if not np.array_equal(whole, x):
        raise UsageError(
            f"input '{name}'", "it is not whole numbers, and a chip's spikes carry whole numbers", "Scale and round it"
        )
    return whole.astype(np.uint8) if whole.size and whole.min() >= 0 and whole.max() <= 1 else whole
