"""The room that Loihi's ranges leave: the largest scale of a layer, and what is left of it for a graded input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isinf

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.cells import Cell
from spikeport.deploy.hops import RefusedError
from spikeport.deploy.loihi import limits
from spikeport.deploy.stage import Hop, HopStage, Layer

STRONGEST = "3-bit exponent of the strongest weights"
_LEAST_WEIGHT = 4
"""What the strongest weight x 2^exponent gets at least: 8 bits of it, with the least exponent of -8, are 1/2 to 1."""
_LEAST_LEVELS = 8
_STRONGEST_TIMES_SCALE = limits.ALIGN * 2.0 ** (limits.WEIGHT_EXP_MAX + limits.WEIGHT_BITS - 1)
"""S x the strongest weight that is sent spikes: what the largest exponent holds at any phase of its grid."""


Array = NDArray[np.float64]


def membrane_decay(cell: Cell) -> Array:
    """Return dv of 4096, [N]; at most 4095, so that a membrane without memory keeps 1/4096 of itself."""
    return np.minimum(np.rint(cell.dv_N * limits.DECAY_ONE), limits.DECAY_MAX)


def taken_off(cell: Cell) -> Array:
    """Return R in the unit of v, [N]: with the integer decay, (1 - dv) reset_by = K is left of it a step later."""
    if cell.reset_by_N is None:
        return np.zeros_like(cell.dv_N)
    taken: Array = cell.reset_by_N * (1 - cell.dv_N) / (1 - membrane_decay(cell) / limits.DECAY_ONE)
    return taken


def scale_limits(layer: Layer, u: float, v: float) -> dict[str, float]:
    """Return the largest S that each limit allows, the weights' aside.

    Args:
        layer: whose S it is.
        u: the largest |u| to make room for, in the unit of v.
        v: the largest |v|.
    """
    spiking = layer.cell.emits == "spikes"
    # A membrane that is only read must not reach the greatest threshold, where it would fire.
    top_v = limits.STATE_MAX if spiking else limits.VTH_MANT_MAX * limits.ALIGN
    bound = {
        "24-bit v": top_v / v,
        "24-bit u": limits.STATE_MAX / u,
        "13-bit bias with 3-bit exponent": _ratio(limits.BIAS_MANT_MAX * 2**limits.BIAS_EXP_MAX, layer.bias),
    }
    if spiking:
        bound["17-bit threshold"] = limits.VTH_MANT_MAX * limits.ALIGN / float(layer.cell.threshold_N.max())
    return bound


def _ratio(limit: float, values: NDArray[np.float64]) -> float:
    largest = float(np.max(np.abs(values), initial=0.0))
    return limit / largest if largest > 0 else float("inf")


def _strongest(hop: Hop) -> float:
    return float(np.max(np.abs(hop.weight.data), initial=0.0))


def input_scale(
    stage: HopStage,
    name: str,
    graded: Sequence[str],
    largest: float,
    u: Mapping[str, float],
    v: Mapping[str, float],
) -> float:
    """Return the integer for 1 of a graded input: a power of two.

    u and v have room for a product of weight and input,

        S x strongest weight x largest input = 64 x 2^exponent x weight x input in integers,

    to be shared: the weight with its exponent gets `_LEAST_WEIGHT`, the input the rest, as far as a message carries it.

    Args:
        stage: the layers.
        name: the input.
        graded: all inputs that are not whole numbers; what else feeds the same layer has to fit its scale.
        largest: its largest magnitude.
        u: the largest |u| by layer, in the unit of v.
        v: the largest |v| by layer.

    Raises:
        RefusedError: the rest is too little.
    """
    layers = {layer.name: layer for layer in stage.layers}
    room, binding = (
        limits.PAYLOAD_MAX / largest,
        f"a message carries at most {limits.PAYLOAD_MAX}",
    )
    if isinf(room):
        raise RefusedError(name, f"values up to {largest:g}", "no scale makes them whole numbers", "Scale the input up")
    for hop in stage.hops:
        strongest = _strongest(hop)
        if hop.source == name and strongest:
            bound = scale_limits(layers[hop.target], u[hop.target], v[hop.target])
            beside = [_strongest(x) for x in stage.hops if x.target == hop.target and x.source not in graded]
            if any(beside):
                bound[STRONGEST] = _STRONGEST_TIMES_SCALE / max(beside)
            limit = min(bound, key=lambda key: bound[key])
            left = bound[limit] * strongest / limits.ALIGN / _LEAST_WEIGHT
            if left < room:
                room, binding = left, f"the {limit} of '{hop.target}' leaves it {left * largest:.2g} levels"
    if room * largest < _LEAST_LEVELS:
        raise RefusedError(
            name,
            f"values up to {largest:g}",
            f"{binding} beside the weights, fewer than {_LEAST_LEVELS}",
            "Make its weights larger against what else drives the layer, or encode it as spikes",
        )
    return float(2.0 ** np.floor(np.log2(room)))
