"""A spiking network against its ANN under each model: ratio, break-even, and one sentence.

S is the number of synaptic events per synapse and inference, `synops / MACs of the ANN`. With the events' mix
and cost as they are, both need the same energy at `S* = S (E_ANN - E_fixed) / E_events`, where E_fixed are
neuron updates and the host. Where all events are ACs and only arithmetic counts this is
`(E_ANN - U e_update) / (MAC e_ac)`. A negative S* means that the spiking network loses at any rate.

Both sides are priced by the same constants. A model of a chip that runs spiking networks only gets no ratio, unless
the user names the model that prices the ANN; the ratio is then marked as one across technologies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spikeport.benchmarks.blocks import EnergyComparison, PublishedThreshold, VariantComparison
from spikeport.benchmarks.counting.layers import AnnCounts
from spikeport.benchmarks.counting.network import NetworkCounts
from spikeport.benchmarks.energy.estimate import ann_energy, spiking_energy
from spikeport.benchmarks.energy.model import EnergyModel, Threshold, Variant
from spikeport.errors import UnfaithfulError, UsageError

EVEN = 1.02
"""Ratios within 2 % of 1 are called even."""


@dataclass(frozen=True)
class Sides:
    """What is compared: the counts of both networks, their rows, and S."""

    snn: NetworkCounts
    ann: AnnCounts
    snn_id: str
    ann_id: str

    @property
    def rate(self) -> float | None:
        """S, `None` for an ANN without products."""
        return self.snn.synops / self.snn.samples / self.ann.macs if self.ann.macs else None


def compare(
    snn: NetworkCounts,
    ann: AnnCounts,
    models: Iterable[EnergyModel],
    snn_id: str,
    ann_id: str,
    cross_technology: EnergyModel | None = None,
) -> tuple[EnergyComparison, ...]:
    """Return one comparison per model.

    Args:
        snn: the spiking network's counts.
        ann: the ANN's.
        models: under which to compare.
        snn_id: the spiking network's row.
        ann_id: the ANN's.
        cross_technology: prices the ANN for models that price spiking networks only; by default these get no ratio.

    Raises:
        UsageError: `cross_technology` does not price ANNs.
    """
    if cross_technology is not None and (cross_technology.prices != "both" or not cross_technology.variants):
        reason = "it has no constants for an ANN"
        raise UsageError(f"--cross-technology {cross_technology.name}", reason, "Name a model that prices both")
    sides = Sides(snn, ann, snn_id, ann_id)
    return tuple(_compare(sides, model, cross_technology) for model in models)


def _compare(sides: Sides, model: EnergyModel, cross: EnergyModel | None) -> EnergyComparison:
    variants: tuple[VariantComparison, ...] = ()
    across = cross if model.prices == "spiking" and model.variants else None
    if model.none_published:
        verdict = f"No verdict: {model.none_published}."
    elif model.thresholds:
        verdict = _against_thresholds(model, sides.rate)
    elif model.prices == "spiking" and across is None:
        verdict = (
            f"No ratio: {model.name} prices spiking networks only ({model.technology}), and an ANN in another "
            "technology is no like-for-like; --cross-technology gives the ratio, marked."
        )
    else:
        try:
            variants = tuple(_variant(sides, v, _dense_side(v, across)) for v in model.variants)
            verdict = _verdict(model, variants, sides.rate, across)
        except UnfaithfulError as error:
            variants, verdict = (), f"No verdict: {error}"
    return EnergyComparison(
        snn=sides.snn_id,
        ann=sides.ann_id,
        model=model.name,
        spikes_per_synapse=sides.rate,
        variants=variants,
        verdict=verdict,
        thresholds=tuple(PublishedThreshold.model_validate(t.model_dump()) for t in model.thresholds),
        cross_technology=across.name if across and variants else None,
    )


def _dense_side(variant: Variant, across: EnergyModel | None) -> Variant:
    """Return what prices the ANN: the same constants, or the other technology's nominal ones."""
    return variant if across is None else next(v for v in across.variants if v.name == across.nominal)


def _variant(sides: Sides, variant: Variant, dense: Variant) -> VariantComparison:
    spiking, dense_pj = spiking_energy(sides.snn, variant), ann_energy(sides.ann, dense).total_pj
    if spiking.total_pj == 0:
        raise UnfaithfulError(f"variant '{variant.name}'", "the spiking network did nothing that it prices", "")
    rate = sides.rate
    known = rate is not None and spiking.events_pj > 0
    return VariantComparison(
        variant=variant.name,
        snn_pj=spiking.total_pj,
        ann_pj=dense_pj,
        ratio=dense_pj / spiking.total_pj,
        break_even=rate * (dense_pj - spiking.fixed_pj) / spiking.events_pj if rate is not None and known else None,
    )


def _against_thresholds(model: EnergyModel, rate: float | None) -> str:
    if rate is None:
        return "No verdict: the ANN has no products, so there is no rate to hold against the published one."
    said = "; ".join(_against(t, rate) for t in model.thresholds)
    return f"At {rate:.3g} spikes per synapse and inference, measured, {said}. Published, and not computed here."


def _against(t: Threshold, rate: float) -> str:
    span = f"{t.low:.3g}" if t.low == t.high else f"{t.low:.3g} to {t.high:.3g}"
    where = "is below" if rate < t.low else "is above" if rate > t.high else "lies within"
    return f"the spiking network {where} the threshold of {span} ({t.name}: {t.holds_for})"


def _verdict(
    model: EnergyModel, variants: tuple[VariantComparison, ...], rate: float | None, across: EnergyModel | None
) -> str:
    outcomes = "; ".join(f"{_outcome(v)} ({v.variant})" for v in variants)
    sentence = f"Assuming that {model.assumes.rstrip('.')}, the spiking network needs {outcomes}"
    if across is not None:
        dense = f"the ANN as under {across.name}, {across.nominal} ({across.technology})"
        sentence = f"Across technologies, so no like-for-like, with {dense}: {sentence[0].lower()}{sentence[1:]}"
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
