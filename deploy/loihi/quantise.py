"""A lowered stage in integers.

Each layer has one scale S, the integer of v that stands for 1. Everything that adds up in v shares it:

    vth_mant = S theta / 64,   bias = S b,   weight = S w / (64 x 2^weight_exp x input scale)

S is the largest that keeps every weight within 8 bits, and the threshold, the bias, and the largest |u| and
|v| seen (or, without samples, possible) within theirs. It is then moved by less than the rounding of the
threshold so that vth_mant is exact. What is lost is weights, biases and decays rounded to integers: the
result differs from the float network by construction, and the report says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log2

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.backend import Inputs
from spikeport.deploy.hops import RefusedError
from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.ranges import Ranges, observe, unlimited
from spikeport.deploy.stage import Hop, HopStage, Layer, lower_hops, refusals
from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.graph import ChipGraph

IntArray = NDArray[np.int32]

MIN_WEIGHT_LEVELS = 8
"""A layer whose largest weight gets fewer levels than this is refused: it would be another network."""


@dataclass(frozen=True)
class QuantisedHop:
    """Synapses in integers.

    Attributes:
        hop: in float.
        weight: even integers in [-2^bits, 2^bits - 2].
        weight_exp: the sum of products is shifted left by it.
    """

    hop: Hop
    weight: csr_array
    weight_exp: int


@dataclass(frozen=True)
class QuantisedLayer:
    """A layer in integers.

    Attributes:
        layer: in float.
        du: synaptic decay, 4095 for no synaptic state.
        dv: membrane decay, of 4096.
        vth_mant: threshold / 64.
        bias_mant: [N].
        bias_exp: shared by the layer.
        scale: S, the integer of v for 1.
    """

    layer: Layer
    du: int
    dv: int
    vth_mant: int
    bias_mant: IntArray
    bias_exp: int
    scale: float


@dataclass(frozen=True)
class LayerReport:
    """What quantisation did to one layer.

    Attributes:
        weight_levels: steps up to the largest weight, over its hops the least.
        weight_error: largest error of a weight, relative to the layer's largest weight.
        bias_error: largest error of a bias, relative to the threshold.
        decay_error: relative error of dv's time constant (0 where there is no decay).
        headroom: how many times |v| may exceed the largest seen before it saturates; `None` without samples.
    """

    weight_levels: int
    weight_error: float
    bias_error: float
    decay_error: float
    headroom: float | None


@dataclass(frozen=True)
class QuantisedStage:
    """The stage in integers, whatever runs it.

    Attributes:
        stage: in float.
        layers: one for each of `stage.layers`.
        hops: one for each of `stage.hops`.
        input_scales: for each graded input, the integer for 1; inputs of whole numbers have 1.
        input_limits: by input, the largest magnitude that was made room for.
        reports: by layer.
    """

    stage: HopStage
    layers: Sequence[QuantisedLayer]
    hops: Sequence[QuantisedHop]
    input_scales: Mapping[str, float]
    input_limits: Mapping[str, float]
    reports: Mapping[str, LayerReport]


def quantise(graph: ChipGraph, calibration: Inputs | None = None, weight_bits: int = 8) -> QuantisedStage:
    """Return `graph` in Loihi's integers.

    Args:
        graph: the network.
        calibration: sample inputs [T, B, *shape] that u and v are measured on; without them the worst case
            counts, and graded inputs are refused.
        weight_bits: bits of a weight, sign included, 2 to 8.

    Raises:
        RefusedError: a node has no form within the limits.
        UsageError: `weight_bits` is out of range.
    """
    if not 2 <= weight_bits <= limits.WEIGHT_BITS:
        raise UsageError(f"weight_bits {weight_bits}", "Loihi's weights have 2 to 8 bits", "Choose one of those")
    if refused := quantise_refusals(graph, weight_bits):
        raise next(iter(refused.values()))
    stage = lower_hops(graph)
    ranges = observe(graph, stage, calibration)
    layers = [_layer(layer, _into(stage, layer), ranges, weight_bits) for layer in stage.layers]
    by_name = {layer.layer.name: layer for layer in layers}
    hops = [_hop(hop, by_name[hop.target].scale, ranges, weight_bits) for hop in stage.hops]
    into = {x.layer.name: [hop for hop in hops if hop.hop.target == x.layer.name] for x in layers}
    reports = {x.layer.name: _report(x, into[x.layer.name], ranges, weight_bits) for x in layers}
    return QuantisedStage(stage, layers, hops, ranges.input_scales, ranges.input_limits, reports)


def quantise_refusals(graph: ChipGraph, weight_bits: int = 8) -> dict[str, UnfaithfulError]:
    """Return why nodes have no integer form whatever the samples, by node.

    With samples `quantise` may refuse more: a layer whose u and v they drive out of range.
    """
    refused = refusals(graph)
    if refused:
        return refused
    stage = lower_hops(graph)
    for layer in stage.layers:
        try:
            _check(layer)
            _layer(layer, _into(stage, layer), unlimited(stage), weight_bits)
        except RefusedError as error:
            refused[error.node] = error
    return refused


def _check(layer: Layer) -> None:
    cell = layer.cell
    if cell.emits == "sum":
        raise RefusedError(
            layer.name, "", "synapses feed an output, and only a neuron's spikes or membrane can be read",
            "End the stage at the neurons and put the readout on a host stage",
        )  # fmt: skip
    for field, decay in (("synaptic decay", cell.du), ("membrane decay", cell.dv)):
        if field == "synaptic decay" and decay == 1.0:
            continue
        steps = round(decay * limits.DECAY_ONE)
        if steps > limits.DECAY_MAX or (decay > 0 and steps == 0):
            raise RefusedError(
                layer.name, f"{field} of {decay:g} a step", f"12 bits hold 1/4096 to {limits.DECAY_MAX}/4096",
                "Choose another time constant",
            )  # fmt: skip
    if cell.emits == "spikes" and cell.threshold == 0:
        raise RefusedError(layer.name, "v_threshold 0", "it gives v no unit", "Choose a positive threshold")


def _into(stage: HopStage, layer: Layer) -> list[Hop]:
    return [hop for hop in stage.hops if hop.target == layer.name]


def _largest(weight: csr_array) -> float:
    return float(np.max(np.abs(weight.data), initial=0.0))


def _layer(layer: Layer, hops: Sequence[Hop], ranges: Ranges, weight_bits: int) -> QuantisedLayer:
    bound = _scale_limits(layer, hops, ranges, weight_bits)
    scale = min(bound.values())
    theta = layer.cell.threshold
    vth_mant = limits.VTH_MANT_MAX
    if layer.cell.emits == "spikes":
        vth_mant = floor(scale * theta / limits.ALIGN)
        if vth_mant < 1:
            _refuse_threshold(layer, bound, scale)
        scale = vth_mant * limits.ALIGN / theta
    for hop in hops:
        _check_levels(layer, hop, scale, bound, ranges, weight_bits)
    du = limits.DU_NONE if layer.cell.du == 1.0 else round(layer.cell.du * limits.DECAY_ONE) - 1
    bias = layer.bias * scale
    bias_exp = max(0, ceil(log2(max(float(np.max(np.abs(bias))), 1.0) / limits.BIAS_MANT_MAX)))
    bias_mant = np.rint(bias / 2**bias_exp).astype(np.int32)
    return QuantisedLayer(layer, du, round(layer.cell.dv * limits.DECAY_ONE), vth_mant, bias_mant, bias_exp, scale)


def _scale_limits(layer: Layer, hops: Sequence[Hop], ranges: Ranges, weight_bits: int) -> dict[str, float]:
    """Return the largest S that each limit allows."""
    spiking = layer.cell.emits == "spikes"
    # A membrane that is only read must not reach the greatest threshold, where it would fire.
    top_v = limits.STATE_MAX if spiking else limits.VTH_MANT_MAX * limits.ALIGN
    bound = {
        "24-bit v": top_v / ranges.v[layer.name],
        "24-bit u": limits.STATE_MAX / ranges.u[layer.name],
        "13-bit bias with 3-bit exponent": _ratio(limits.BIAS_MANT_MAX * 2**limits.BIAS_EXP_MAX, layer.bias),
    }
    largest = [w for hop in hops if (w := _largest(hop.weight) / ranges.input_scale(hop.source)) > 0]
    if largest:
        # The strongest hop gets the full range; the exponent is what brings the weakest within a bit of it.
        exponent = min(limits.WEIGHT_EXP_MAX, floor(log2(max(largest) / min(largest))))
        bound["8-bit weights"] = _weight_top(weight_bits) * limits.ALIGN * 2.0**exponent / max(largest)
    if spiking:
        bound["17-bit threshold"] = limits.VTH_MANT_MAX * limits.ALIGN / layer.cell.threshold
    return bound


def _ratio(limit: float, values: NDArray[np.float64]) -> float:
    largest = float(np.max(np.abs(values), initial=0.0))
    return limit / largest if largest > 0 else float("inf")


def _weight_top(weight_bits: int) -> int:
    """The largest weight: even, sign included in the bits."""
    return (1 << limits.WEIGHT_BITS) - _step(weight_bits)


def _step(weight_bits: int) -> int:
    """The distance of two weights: the low bits are the sign's and those that are not used."""
    return 1 << (limits.WEIGHT_BITS - weight_bits + 1)


def _exponent(largest: float, weight_bits: int) -> int:
    """Return the least exponent that brings `largest` (in units of weight) into range."""
    return max(0, ceil(log2(max(largest, 1.0) / (_weight_top(weight_bits) + _step(weight_bits) / 2))))


def _hop(hop: Hop, scale: float, ranges: Ranges, weight_bits: int) -> QuantisedHop:
    factor = scale / limits.ALIGN / ranges.input_scale(hop.source)
    exponent = _exponent(_largest(hop.weight) * factor, weight_bits)
    step, top = _step(weight_bits), _weight_top(weight_bits)
    steps = np.rint(hop.weight.data * factor / 2**exponent / step) * step
    weight = hop.weight.copy()
    weight.data = np.clip(steps, -top - step, top)
    integer = csr_array(weight, dtype=np.int32)
    integer.eliminate_zeros()
    return QuantisedHop(hop, integer, exponent)


def _check_levels(
    layer: Layer, hop: Hop, scale: float, bound: Mapping[str, float], ranges: Ranges, weight_bits: int
) -> None:
    largest = _largest(hop.weight) * scale / limits.ALIGN / ranges.input_scale(hop.source)
    levels = largest / 2 ** _exponent(largest, weight_bits) / _step(weight_bits)
    wanted = min(MIN_WEIGHT_LEVELS, 2 ** (weight_bits - 1) - 1)
    if 0 < levels < wanted:
        limit = min(bound, key=lambda key: bound[key])
        raise RefusedError(
            layer.name, f"largest weight from '{hop.source}' {largest:.3g} of {_weight_top(weight_bits)}",
            f"the {limit} leaves it {levels:.2g} levels, fewer than {wanted}",
            "Balance the weights of the layer's sources and its bias and threshold (weight decay, or a smaller bias)",
        )  # fmt: skip


def _refuse_threshold(layer: Layer, bound: Mapping[str, float], scale: float) -> None:
    limit = min(bound, key=lambda key: bound[key])
    raise RefusedError(
        layer.name, f"v_threshold {layer.cell.threshold:g}",
        f"the {limit} leaves it {scale * layer.cell.threshold / limits.ALIGN:.2g} of a step",
        "Raise the threshold, or make weights and bias smaller against it",
    )  # fmt: skip


def _report(layer: QuantisedLayer, hops: Sequence[QuantisedHop], ranges: Ranges, weight_bits: int) -> LayerReport:
    name, cell = layer.layer.name, layer.layer.cell
    errors, levels, largest = [0.0], [], [0.0]
    for hop in hops:
        unit = limits.ALIGN * 2**hop.weight_exp * ranges.input_scale(hop.hop.source) / layer.scale
        difference = np.abs(csr_array(hop.weight * unit - hop.hop.weight).data)
        errors.append(float(np.max(difference, initial=0.0)))
        largest.append(_largest(hop.hop.weight))
        levels.append(int(np.max(np.abs(hop.weight.data), initial=0)) // _step(weight_bits))
    bias = layer.bias_mant * 2.0**layer.bias_exp / layer.scale
    unit_v = cell.threshold if cell.emits == "spikes" else 1.0
    return LayerReport(
        weight_levels=min(levels, default=0),
        weight_error=max(errors) / max(largest) if max(largest) else 0.0,
        bias_error=float(np.max(np.abs(bias - layer.layer.bias), initial=0.0)) / unit_v,
        decay_error=abs(layer.dv / limits.DECAY_ONE / cell.dv - 1) if cell.dv else 0.0,
        headroom=limits.STATE_MAX / (layer.scale * ranges.seen[name]) if ranges.seen.get(name) else None,
    )
