"""Blocks of energy: estimated, measured, compared. An estimate and a measurement never share a block."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spikeport.benchmarks.blocks.base import Amount, Block


class EnergyEstimate(Block):
    """Energy of one inference under one model. Never measured: see `Measured`.

    Attributes:
        per_sample_pj: under the model's nominal constants; null where the model does not apply, with `reason`.
        low_pj: the least over its variants.
        high_pj: the most.
        nominal: the name of the nominal variant, null where the model has no constants.
        prices: which networks the model's source has constants for.
        summary: whether it has a column in the table of all rows.
    """

    model: str
    per_sample_pj: Amount | None
    low_pj: Amount | None
    high_pj: Amount | None
    kind: Literal["estimated"] = "estimated"
    source: str
    leaves_out: tuple[str, ...]
    title: str
    nominal: str | None
    technology: str
    confidence: str
    prices: Literal["both", "spiking"] = "both"
    summary: bool = True
    reason: str | None = None

    @model_validator(mode="after")
    def _range(self) -> EnergyEstimate:
        values = (self.low_pj, self.per_sample_pj, self.high_pj)
        known = [value for value in values if value is not None]
        if len(known) not in (0, 3) or (not known) != bool(self.reason):
            raise ValueError("an estimate has all of low, nominal and high, or none and a reason")
        if known != sorted(known):
            raise ValueError(f"the estimates {known} are not low <= nominal <= high")
        return self


class Measured(Block):
    """Joules per sample, read from a counter; never in a column with estimates.

    Attributes:
        joules_total: all that the device took while it worked.
        joules_dynamic: less what it takes idle, loaded and ready; may fall below 0 by chance.
        device: whose energy.
        method: how it was read.
        batch: samples computed at once.
        repeats: pairs of an idle and a working window.
        standard_error: of `joules_dynamic`, over the repeats.
        idle_watts: mean power of the idle windows.
        note: what these joules say nothing about; shown wherever they are.
        conditions: of the device before and after: temperature, clocks.
    """

    joules_total: Amount
    joules_dynamic: float
    device: str
    method: str
    batch: Annotated[int, Field(ge=1)]
    repeats: Annotated[int, Field(ge=1)]
    standard_error: Amount
    idle_watts: Amount | None = None
    note: str = ""
    conditions: dict[str, str] = Field(default_factory=dict)


class VariantComparison(Block):
    """SNN against ANN under one set of constants.

    Attributes:
        ratio: ANN energy over SNN energy; above 1 the SNN needs less.
        break_even: the spikes per synapse and inference at which both need the same; negative where the SNN
            cannot win at any rate; null where there is no event to scale.
    """

    variant: str
    snn_pj: Amount
    ann_pj: Amount
    ratio: Amount
    break_even: float | None


class PublishedThreshold(Block):
    """A published spike rate, per synapse and inference, below which a spiking network needs less energy."""

    name: str
    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    holds_for: str


class EnergyComparison(Block):
    """One SNN row against one ANN row under one energy model, or why it cannot be compared.

    Attributes:
        thresholds: of a model that gives spike rates and no constants; labelled as published wherever shown.
        cross_technology: the model that prices the ANN where it is another technology's: no like-for-like ratio.
    """

    snn: str
    ann: str
    model: str
    spikes_per_synapse: Amount | None
    variants: tuple[VariantComparison, ...]
    verdict: str
    thresholds: tuple[PublishedThreshold, ...] = ()
    cross_technology: str | None = None
