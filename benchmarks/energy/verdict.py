"""A spiking network against its ANN under each model: ratio, break-even, and one sentence.

S is the number of synaptic events per synapse and inference, `synops / MACs of the ANN`. With the events' mix
and cost as they are, both need the same energy at `S* = S (E_ANN - E_fixed) / E_events`, where E_fixed are
neuron updates and the host. Where all events are ACs and only arithmetic counts this is
`(E_ANN - U e_update) / (MAC e_ac)`. A negative S* means that the spiking network loses at any rate.
"""

from __future__ import annotations

from collections.abc import Iterable

from spikeport.benchmarks.blocks import EnergyComparison, VariantComparison
from spikeport.benchmarks.counting.layers import AnnCounts
from spikeport.benchmarks.counting.network import NetworkCounts
from spikeport.benchmarks.energy.estimate import ann_energy, spiking_energy
from spikeport.benchmarks.energy.model import EnergyModel, Variant
from spikeport.errors import UnfaithfulError

EVEN = 1.02
"""Ratios within 2 % of 1 are called even."""


def compare(
    snn: NetworkCounts, ann: AnnCounts, models: Iterable[EnergyModel], snn_id: str, ann_id: str
) -> tuple[EnergyComparison, ...]:
    """Return one comparison per model; both sides always under the same constants."""
    rate = snn.synops / snn.samples / ann.macs if ann.macs else None
    return tuple(_compare(snn, ann, model, rate, snn_id, ann_id) for model in models)


def _compare(
    snn: NetworkCounts, ann: AnnCounts, model: EnergyModel, rate: float | None, snn_id: str, ann_id: str
) -> EnergyComparison:
    try:
        variants = tuple(_variant(snn, ann, variant, rate) for variant in model.variants)
        verdict = _verdict(model, variants, rate)
    except UnfaithfulError as error:
        variants, verdict = (), f"No verdict: {error}"
    return EnergyComparison(
        snn=snn_id, ann=ann_id, model=model.name, spikes_per_synapse=rate, variants=variants, verdict=verdict
    )


def _variant(snn: NetworkCounts, ann: AnnCounts, variant: Variant, rate: float | None) -> VariantComparison:
    spiking, dense_pj = spiking_energy(snn, variant), ann_energy(ann, variant).total_pj
    if spiking.total_pj == 0:
        raise UnfaithfulError(f"variant '{variant.name}'", "the spiking network did nothing that it prices", "")
    known = rate is not None and spiking.events_pj > 0
    return VariantComparison(
        variant=variant.name,
        snn_pj=spiking.total_pj,
        ann_pj=dense_pj,
        ratio=dense_pj / spiking.total_pj,
        break_even=rate * (dense_pj - spiking.fixed_pj) / spiking.events_pj if rate is not None and known else None,
    )


def _verdict(model: EnergyModel, variants: tuple[VariantComparison, ...], rate: float | None) -> str:
    outcomes = "; ".join(f"{_outcome(v)} ({v.variant})" for v in variants)
    sentence = f"Assuming that {model.assumes.rstrip('.')}, the spiking network needs {outcomes}"
    points = [f"{_point(v.break_even)} ({v.variant})" for v in variants if v.break_even is not None]
    if points and rate is not None:
        sentence += f", at its measured {rate:.3g} spikes per synapse and inference; it breaks even {', '.join(points)}"
    return sentence + "."


def _outcome(v: VariantComparison) -> str:
    if max(v.ratio, 1 / v.ratio if v.ratio else float("inf")) < EVEN:
        return "as much energy as the ANN"
    if v.ratio > 1:
        return f"{v.ratio:.3g} times less energy than the ANN"
    if v.ratio == 0:
        return "energy where the ANN needs none"
    return f"{1 / v.ratio:.3g} times more energy than the ANN"


def _point(break_even: float) -> str:
    return f"at {break_even:.3g}" if break_even > 0 else "at no spike rate"
