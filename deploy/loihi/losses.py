"""What quantisation cost each layer: errors of its numbers, and what the integers did on the calibration samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import prod

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from spikeport.deploy.loihi.engine import Records
from spikeport.deploy.loihi.quantise import LayerReport, QuantisedLayer, QuantisedStage

Spikes = NDArray[np.generic]


class Behaviour(BaseModel):
    """What a layer's integers did on the calibration samples, beside the float network.

    Attributes:
        samples: how many.
        saturated: share of the entries of v, [steps, samples, N], that were held at the limits of 24 bits.
        wrapped: share of the entries of u that left 24 bits; the result means nothing unless it is 0.
        rate_float: spikes a neuron and step in float; `None` for a layer that is only read.
        rate_integers: the same in integers.
        jaccard: spikes in both over spikes in either; 1 where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    samples: int
    saturated: float
    wrapped: float
    rate_float: float | None
    rate_integers: float | None
    jaccard: float | None


class LayerLosses(BaseModel):
    """One layer: see `LayerReport` for the numbers; `behaviour` is `None` without calibration samples.

    `input_error` is `None` where an older file does not say it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight_bits: int
    weight_levels: int
    weight_error: float
    weight_error_rms: float
    input_error: float | None = None
    bias_error: float
    decay_error: float
    headroom: float | None
    behaviour: Behaviour | None


def layer_losses(report: LayerReport, behaviour: Behaviour | None) -> LayerLosses:
    """Return both as one."""
    return LayerLosses(**asdict(report), behaviour=behaviour)


def behaviours(quantised: QuantisedStage, records: Records) -> dict[str, Behaviour]:
    """Return what the layers did in `records`, a run of the samples that `quantised` was calibrated on."""
    assert quantised.observed is not None
    return {x.layer.name: _behaviour(x, quantised.observed.spikes.get(x.layer.name), records) for x in quantised.layers}


def _behaviour(layer: QuantisedLayer, float_TBN: Spikes | None, records: Records) -> Behaviour:
    name, latency = layer.layer.name, layer.layer.latency
    steps, samples = records.spikes[name].shape[:2]
    entries = steps * samples * prod(layer.layer.shape)
    rates: tuple[float | None, float | None, float | None] = (None, None, None)
    if float_TBN is not None:
        ours_TBN = records.spikes[name][latency : latency + len(float_TBN)] != 0
        theirs_TBN = float_TBN != 0
        either = int(np.count_nonzero(ours_TBN | theirs_TBN))
        both = int(np.count_nonzero(ours_TBN & theirs_TBN))
        rates = (float(theirs_TBN.mean()), float(ours_TBN.mean()), both / either if either else 1.0)
    return Behaviour(
        samples=samples,
        saturated=records.saturations[name] / entries,
        wrapped=records.wraps[name] / entries,
        rate_float=rates[0],
        rate_integers=rates[1],
        jaccard=rates[2],
    )


HEADER = ("layer", "bits", "weight error", "bias error", "decay error", "saturated", "rate, float", "rate", "Jaccard")


def cells(name: str, losses: LayerLosses) -> tuple[str, ...]:
    """Return one layer as cells under `HEADER`; what is not known is `-`."""
    seen = losses.behaviour
    return (
        name,
        str(losses.weight_bits),
        f"{100 * losses.weight_error_rms:.2f} %",
        f"{100 * losses.bias_error:.3f} %",
        f"{100 * losses.decay_error:.3f} %",
        "-" if seen is None else f"{100 * seen.saturated:.2g} %",
        _number(seen.rate_float if seen else None),
        _number(seen.rate_integers if seen else None),
        _number(seen.jaccard if seen else None),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def lines(losses: Mapping[str, LayerLosses]) -> Sequence[str]:
    """Return the layers as a table for the terminal."""
    rows = [HEADER, *(cells(name, layer) for name, layer in losses.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
