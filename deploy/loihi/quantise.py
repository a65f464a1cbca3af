"""A lowered stage in integers.

Each neuron has a scale S, the integer of v that stands for 1. Everything that adds up in v shares it:

    vth_mant = S theta / 64,   bias = S b,   weight = S w / (64 x 2^weight_exp x input scale)

S is the one that brings the weights' error lowest (`scales`), as far as the threshold, the bias, and the largest
|u| and |v| seen (or, without samples, possible) stay within their ranges. It is one for a layer, then moved by less
than the rounding of each neuron's threshold so that vth_mant is exact. What is lost is weights, biases and decays
rounded to integers: the result differs from the float network by construction, and the report says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from spikeport.deploy.backend import Inputs
from spikeport.deploy.hops import RefusedError
from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.ranges import Observed, Ranges, observe, unlimited
from spikeport.deploy.loihi.room import membrane_decay, taken_off
from spikeport.deploy.loihi.scales import Scale, choose_scale, unit_of
from spikeport.deploy.loihi.weight_bits import WeightBits
from spikeport.deploy.stage import Hop, HopStage, Layer, lower_hops, refusals
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph
from spikeport.weight_grid import nearest, stored_step

Array = NDArray[np.float64]
IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class QuantisedHop:
    """Synapses in integers.

    Attributes:
        hop: in float.
        weight: even integers in [-256, 254].
        weight_exp: the sum of products is shifted left by it, right where it is negative.
    """

    hop: Hop
    weight: csr_array
    weight_exp: int


@dataclass(frozen=True)
class QuantisedLayer:
    """A layer in integers, neuron by neuron.

    Attributes:
        layer: in float.
        du_N: synaptic decay, 4095 for no synaptic state.
        dv_N: membrane decay, of 4096; at most 4095, so that a membrane without memory keeps 1/4096 of itself.
        vth_mant_N: threshold / 64.
        reset_by_N: what a spike takes off v; 0 for no reset, `None` where it sets v to 0.
        bias_mant: [N].
        bias_exp: shared by the layer.
        scale_N: S, the integer of v for 1.
        weight_bits: of the synapses that end here.
    """

    layer: Layer
    du_N: IntArray
    dv_N: IntArray
    vth_mant_N: IntArray
    reset_by_N: IntArray | None
    bias_mant: IntArray
    bias_exp: int
    scale_N: Array
    weight_bits: int


@dataclass(frozen=True)
class LayerReport:
    """What quantisation did to the numbers of one layer.

    Attributes:
        weight_bits: of its synapses.
        weight_levels: steps up to the largest weight, over its hops the least.
        weight_error: largest error of a weight, relative to the layer's largest weight; weights from an input count
            times the largest magnitude that the input was given room for.
        weight_error_rms: root mean square error of these weights, relative to their own root mean square.
        input_error: half a step of a graded input, relative to its largest; over the layer's inputs the largest.
        bias_error: largest error of a bias, relative to the neuron's threshold.
        decay_error: relative error of the decays, dv's or du's, whichever is larger (0 where there is none); of neurons
            with decays of their own the largest.
        headroom: how many times |v| may exceed the largest seen before it saturates; `None` without samples.
    """

    weight_bits: int
    weight_levels: int
    weight_error: float
    weight_error_rms: float
    input_error: float
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
        observed: what the float network did on the calibration samples; `None` without.
    """

    stage: HopStage
    layers: Sequence[QuantisedLayer]
    hops: Sequence[QuantisedHop]
    input_scales: Mapping[str, float]
    input_limits: Mapping[str, float]
    reports: Mapping[str, LayerReport]
    observed: Observed | None = field(default=None, repr=False)


def quantise(
    graph: ChipGraph, calibration: Inputs | None = None, weight_bits: int | WeightBits = limits.WEIGHT_BITS
) -> QuantisedStage:
    """Return `graph` in Loihi's integers.

    Args:
        graph: the network.
        calibration: sample inputs [T, B, *shape] that u and v are measured on; without them the worst case
            counts, and graded inputs are refused.
        weight_bits: bits of a weight, sign included, 1 to 8, of all layers or by layer.

    Raises:
        RefusedError: a node has no form within the limits.
        UsageError: `weight_bits` is out of range, or names a layer that is not there.
    """
    given = weight_bits if isinstance(weight_bits, WeightBits) else WeightBits(weight_bits)
    if refused := quantise_refusals(graph, given):
        raise next(iter(refused.values()))
    stage = lower_hops(graph)
    bits = given.of(layer.name for layer in stage.layers)
    ranges = observe(graph, stage, calibration)
    layers: list[QuantisedLayer] = []
    hops: dict[int, QuantisedHop] = {}
    reports: dict[str, LayerReport] = {}
    for layer in stage.layers:
        into = _into(stage, layer)
        chosen = choose_scale(layer, into, ranges, bits[layer.name])
        mine = [_hop(hop, chosen, i, ranges, bits[layer.name]) for i, hop in enumerate(into)]
        layers.append(_layer(layer, chosen, bits[layer.name]))
        reports[layer.name] = _report(layers[-1], mine, ranges)
        hops |= {id(hop): made for hop, made in zip(into, mine, strict=True)}
    in_order = [hops[id(hop)] for hop in stage.hops]
    return QuantisedStage(stage, layers, in_order, ranges.input_scales, ranges.input_limits, reports, ranges.observed)


def quantise_refusals(graph: ChipGraph, weight_bits: WeightBits | None = None) -> dict[str, UnfaithfulError]:
    """Return why nodes have no integer form whatever the samples, by node.

    With samples `quantise` may refuse more: a layer whose u and v they drive out of range.
    """
    refused = refusals(graph)
    if refused:
        return refused
    stage = lower_hops(graph)
    bits = (weight_bits or WeightBits()).of(layer.name for layer in stage.layers)
    for layer in stage.layers:
        try:
            _check(layer)
            # What an input's weights need depends on what it sends.
            between = [hop for hop in _into(stage, layer) if hop.source not in stage.inputs]
            choose_scale(layer, between, unlimited(stage), bits[layer.name])
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
    # A membrane without memory (decay 1) is held as the fastest decay there is: it keeps 1/4096 of itself.
    du_N, dv_N = (np.rint(decay_N * limits.DECAY_ONE) for decay_N in (cell.du_N, cell.dv_N))
    no_du_N = (cell.du_N != 1.0) & ((du_N <= 0) | (du_N > limits.DECAY_MAX))
    no_dv_N = (cell.dv_N > 0) & (dv_N == 0)
    for which, decay_N, none_N in (("synaptic", cell.du_N, no_du_N), ("membrane", cell.dv_N, no_dv_N)):
        if np.any(none_N):
            neuron = int(np.argmax(none_N))
            whose = "" if np.all(none_N) else f" of neuron {neuron}"
            raise RefusedError(
                layer.name, f"{which} decay of {decay_N[neuron]:g} a step{whose}",
                f"12 bits hold 1/4096 to {limits.DECAY_MAX}/4096", "Choose another time constant",
            )  # fmt: skip
    if cell.emits == "spikes" and np.any(cell.threshold_N == 0):
        raise RefusedError(layer.name, "v_threshold 0", "it gives v no unit", "Choose a positive threshold")


def _into(stage: HopStage, layer: Layer) -> list[Hop]:
    return [hop for hop in stage.hops if hop.target == layer.name]


def _layer(layer: Layer, chosen: Scale, bits: int) -> QuantisedLayer:
    cell = layer.cell
    du_N = np.where(cell.du_N == 1.0, limits.DU_NONE, np.rint(cell.du_N * limits.DECAY_ONE) - 1)
    # S may miss what fits by the rounding of a threshold (`scales`).
    taken_N = np.minimum(chosen.scale_N * taken_off(cell), limits.STATE_MAX)
    reset_by_N = None if cell.reset_by_N is None else _whole(taken_N)
    bias = layer.bias * chosen.scale_N
    bias_exp = max(0, ceil(log2(max(float(np.max(np.abs(bias))), 1.0) / limits.BIAS_MANT_MAX)))
    return QuantisedLayer(
        layer, _whole(du_N), _whole(membrane_decay(cell)), _whole(chosen.vth_mant_N), reset_by_N,
        _whole(bias / 2**bias_exp), bias_exp, chosen.scale_N, bits,
    )  # fmt: skip


def _whole(values_N: Array) -> IntArray:
    return np.rint(values_N).astype(np.int32)


def value_scales(layer: QuantisedLayer) -> dict[str, Array]:
    """Return the integer for 1 of what each node of a layer that shows a value shows, [*shape]."""
    one = layer.scale_N.reshape(layer.layer.shape)
    currents = {node: one * gain for node, gain in layer.layer.current_scale.items()}
    return dict.fromkeys(layer.layer.nodes, one) | currents


def _hop(hop: Hop, chosen: Scale, index: int, ranges: Ranges, bits: int) -> QuantisedHop:
    exponent = chosen.exponents[index]
    unit_N = unit_of(exponent, bits, chosen.scale_N, ranges.input_scale(hop.source))
    weight = hop.weight.copy()
    weight.data = nearest(weight.data, np.repeat(unit_N, np.diff(weight.indptr)), bits) * stored_step(bits)
    integer = csr_array(weight, dtype=np.int32)
    integer.eliminate_zeros()
    return QuantisedHop(hop, integer, exponent)


def _report(layer: QuantisedLayer, hops: Sequence[QuantisedHop], ranges: Ranges) -> LayerReport:
    name, cell, bits = layer.layer.name, layer.layer.cell, layer.weight_bits
    errors, weights, levels, steps = [np.zeros(1)], [np.zeros(1)], [], [0.0]
    for hop in hops:
        source = hop.hop.source
        unit_N = unit_of(hop.weight_exp, bits, layer.scale_N, ranges.input_scale(source)) / stored_step(bits)
        largest = ranges.input_limits.get(source, 1.0)
        errors.append(largest * csr_array(diags_array(unit_N) @ hop.weight - hop.hop.weight).data)
        weights.append(largest * hop.hop.weight.data)
        if source in ranges.input_scales:
            steps.append(0.5 / (ranges.input_scales[source] * largest))
        levels.append(int(np.max(np.abs(hop.weight.data), initial=0)) // stored_step(bits))
    error, weight = np.concatenate(errors), np.concatenate(weights)
    bias = layer.bias_mant * 2.0**layer.bias_exp / layer.scale_N
    unit_v = cell.threshold_N if cell.emits == "spikes" else 1.0
    some = bool(np.any(weight))
    return LayerReport(
        weight_bits=bits,
        weight_levels=min(levels, default=0),
        weight_error=float(np.max(np.abs(error)) / np.max(np.abs(weight))) if some else 0.0,
        weight_error_rms=float(np.linalg.norm(error) / np.linalg.norm(weight)) if some else 0.0,
        input_error=max(steps),
        bias_error=float(np.max(np.abs(bias - layer.layer.bias) / unit_v, initial=0.0)),
        decay_error=max(_decay_error(layer.dv_N, cell.dv_N), _decay_error(layer.du_N + 1, cell.du_N)),
        headroom=_headroom(layer.scale_N, ranges.seen.get(name)),
    )


def _decay_error(steps_N: IntArray, decay_N: Array) -> float:
    there = decay_N > 0
    return float(np.max(np.abs(steps_N[there] / limits.DECAY_ONE / decay_N[there] - 1), initial=0.0))


def _headroom(scale_N: Array, seen: float | None) -> float | None:
    return limits.STATE_MAX / (float(scale_N.max()) * seen) if seen else None
