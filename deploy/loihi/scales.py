"""The scale of a layer: the integers S of v that stand for 1, and the exponents of its hops.

    unit of a weight = 64 x step x 2^weight_exp x input scale / S

since u = 64 x 2^weight_exp x sum of weight x input in integers stands for S x sum of w x, and an input x is sent as
input scale x x. `step` is the distance of two stored weights, 2 at 8 bits and 128 at 2. The unit with the least error
(`spikeport.weight_grid`) asks for an S; the 24 bits of u and v, the bias and the threshold allow at most another. Where
they allow less, the exponent goes below 0 first. The sum of products is then shifted right and rounded down. For spikes
that goes as far as it only takes away what `step` put there. The sums of a graded input are finer, so they may
lose up to one step of u, 64 / S of v, for as many more steps of the input.

Every neuron has an S of its own, at most one step of its threshold below the layer's: so its threshold is exact, and
its weights, bias and reset are rounded against the threshold that it really has. Neurons of one threshold share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.hops import RefusedError
from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.ranges import Ranges
from spikeport.deploy.loihi.room import STRONGEST, scale_limits
from spikeport.deploy.stage import Hop, Layer
from spikeport.weight_grid import Values, best_units, levels, stored_step

Array = NDArray[np.float64]

MIN_WEIGHT_LEVELS = 8
"""A layer whose largest weight gets fewer levels than this is refused: it would be another network."""
_ROUNDING = 1e-6
"""By how much a scale may miss a whole threshold, relatively, and still be taken for it: rounding of parameters."""


@dataclass(frozen=True)
class Scale:
    """The scale of one layer.

    Attributes:
        scale_N: S of every neuron.
        vth_mant_N: threshold / 64.
        exponents: for each of its hops.
    """

    scale_N: Array
    vth_mant_N: Array
    exponents: Sequence[int]


Scales = TypeVar("Scales", float, Array)


def unit_of(exponent: int, bits: int, scale: Scales, input_scale: float) -> Scales:
    """Return what one level of a weight stands for, where v has this scale, or [N] scales."""
    return limits.ALIGN * stored_step(bits) * 2.0**exponent * input_scale / scale


def choose_scale(layer: Layer, hops: Sequence[Hop], ranges: Ranges, bits: int) -> Scale:
    """Return the scale of `layer` with the synapses `hops` of `bits` bits.

    Raises:
        RefusedError: a limit leaves the threshold or the weights too little.
    """
    bound = scale_limits(layer, ranges.u[layer.name], ranges.v[layer.name])
    weights = [Values.of(hop.weight.data) for hop in hops]
    units = best_units(weights, bits)
    sent = [ranges.input_scale(hop.source) for hop in hops]
    least = [_least_exponent(bits, hop.source in ranges.input_scales) for hop in hops]
    wanted = [unit / one for unit, one in zip(units, sent, strict=True)]
    if not any(wanted):
        return Scale(*_whole_thresholds(layer, bound, min(bound.values())), [0] * len(hops))
    bound[STRONGEST] = limits.ALIGN * stored_step(bits) * 2.0**limits.WEIGHT_EXP_MAX / max(wanted)
    scale_N, vth_mant_N = _whole_thresholds(layer, bound, _fitting(wanted, least, bits, min(bound.values())))
    scale = float(scale_N.max())
    exponents = [
        _exponent(values, bits, scale, one, start) for values, one, start in zip(weights, sent, least, strict=True)
    ]
    for values, hop, exponent, best, one in zip(weights, hops, exponents, units, sent, strict=True):
        unit = unit_of(exponent, bits, scale, one)
        _check_levels(layer, hop, values.largest / unit, best / unit, bits, bound)
    return Scale(scale_N, vth_mant_N, exponents)


def _fitting(wanted: Sequence[float], least: Sequence[int], bits: int, most: float) -> float:
    """Return S for hops whose levels should stand for `wanted`, at most `most`.

    The finest hop gets exponent 0, or less where that needs too large a scale, as far as its `least` allows.
    """
    one = limits.ALIGN * stored_step(bits)
    scale: float = one / min(unit for unit in wanted if unit)
    lowest = max(one * 2.0**exponent / unit for unit, exponent in zip(wanted, least, strict=True) if unit)
    while scale > most and scale / 2 > lowest * (1 - _ROUNDING):
        scale /= 2
    return min(scale, most)


def _least_exponent(bits: int, graded: bool) -> int:
    """The shift to the right of a sum; that of spikes takes away no more than the zeros below a stored weight."""
    return limits.WEIGHT_EXP_MIN if graded else max(limits.WEIGHT_EXP_MIN, 1 - stored_step(bits).bit_length())


def _exponent(values: Values, bits: int, scale: float, input_scale: float, least: int) -> int:
    """Return the exponent with the least squared error."""
    exponents = range(least, limits.WEIGHT_EXP_MAX + 1) if values.largest else [0]
    return min(exponents, key=lambda exponent: values.error(unit_of(exponent, bits, scale, input_scale), bits))


def _whole_thresholds(layer: Layer, bound: Mapping[str, float], scale: float) -> tuple[Array, Array]:
    """Return `scale` made smaller so that each threshold is a multiple of 64, and the thresholds, [N] each."""
    if layer.cell.emits != "spikes":
        return np.full(len(layer.bias), scale), np.full(len(layer.bias), float(limits.VTH_MANT_MAX))
    theta_N = layer.cell.threshold_N
    vth_mant_N = np.floor(scale * theta_N / limits.ALIGN * (1 + _ROUNDING))
    if np.any(vth_mant_N < 1):
        theta = float(theta_N.min())
        binding = _binding(bound, scale)
        raise RefusedError(
            layer.name, f"v_threshold {theta:g}",
            f"the {binding} leaves it {scale * theta / limits.ALIGN:.2g} of a step",
            "Raise the threshold, or make weights and bias smaller against it",
        )  # fmt: skip
    vth_mant_N = np.minimum(vth_mant_N, limits.VTH_MANT_MAX)
    return vth_mant_N * limits.ALIGN / theta_N, vth_mant_N


def _binding(bound: Mapping[str, float], scale: float) -> str:
    name = min(bound, key=lambda key: bound[key])
    return name if bound[name] <= scale else "8-bit weights"


def _check_levels(layer: Layer, hop: Hop, found: float, share: float, bits: int, bound: Mapping[str, float]) -> None:
    """Raise where a limit made the grid so coarse that few levels are left; `share` is of those wished for."""
    wanted = min(MIN_WEIGHT_LEVELS, max(levels(bits)[1], 1))
    if share > 0 and found < wanted and share < 0.7:
        raise RefusedError(
            layer.name, f"largest weight from '{hop.source}' {found:.2g} levels",
            f"the {min(bound, key=lambda key: bound[key])} leaves it fewer than {wanted}",
            "Balance the weights of the layer's sources and its bias and threshold (weight decay, or a smaller bias)",
        )  # fmt: skip
