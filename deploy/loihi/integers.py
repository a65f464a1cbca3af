"""What a quantised stage is given and gives back: inputs in integers, records in the stage's own units.

Shapes: T steps of the input, S steps run, B samples, `*` the node's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.stage import HopStage
from spikeport.errors import UsageError
from spikeport.export.recording import Recording

Array = NDArray[np.generic]


def integers(
    node: str, values: Array, input_scales: Mapping[str, float], input_limits: Mapping[str, float]
) -> NDArray[np.float64]:
    """Return the whole numbers that are sent for an input.

    Args:
        node: the input.
        values: of any shape.
        input_scales: by input, the integer for 1, where it was graded when the stage was quantised.
        input_limits: by input, the largest magnitude that was made room for.

    Raises:
        UsageError: it is not what the stage was quantised for.
    """
    scale = input_scales.get(node)
    if scale is None and not np.array_equal(values, np.trunc(values.astype(np.float64))):
        raise UsageError(f"input '{node}'", "it is not whole numbers, and lowering saw none", "Calibrate with it")
    if (largest := float(np.max(np.abs(values), initial=0))) > input_limits[node]:
        reason = f"the integers were chosen for at most {input_limits[node]:g}"
        raise UsageError(f"input '{node}' up to {largest:g}", reason, "Calibrate with samples as large")
    whole: NDArray[np.float64] = np.rint(values.astype(np.float64) * (scale or 1.0))
    return whole


def padded(values_TBN: Array, shift: int, length: int) -> Array:
    """Return `values` `shift` steps later within `length` steps, zero elsewhere."""
    later = np.zeros((length, *values_TBN.shape[1:]), dtype=values_TBN.dtype)
    kept = min(len(values_TBN), length - shift)
    later[shift : shift + kept] = values_TBN[:kept]
    return later


def recording_of(
    stage: HopStage,
    nodes_SB: Mapping[str, Array],
    inputs_TB: Mapping[str, Array],
    timesteps: int,
    unit_roundoff: float | None,
) -> Recording:
    """Return the recording of a stage from what its nodes did; outputs that are only taps show their source.

    Args:
        stage: the layers.
        nodes_SB: [S, B, *shape] by recorded node: of every layer its `nodes`.
        inputs_TB: [T, B, *shape] by input.
        timesteps: T.
        unit_roundoff: of the arithmetic, `None` where it is quantised.
    """
    nodes = dict(nodes_SB)
    latency = {node: layer.latency for layer in stage.layers for node in layer.nodes} | dict.fromkeys(stage.inputs, 0)
    for output, source in stage.taps.items():
        tapped = nodes[source] if source in nodes else padded(inputs_TB[source], 0, timesteps + stage.latency)
        nodes[output] = tapped.reshape(*tapped.shape[:2], *stage.shapes[output])
        latency[output] = latency[source]
    return Recording(nodes, {name: latency[name] for name in nodes}, timesteps, unit_roundoff)
