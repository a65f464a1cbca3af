"""The blocks that `results.json` is made of; `results.py` puts them together.

Frozen pydantic models: an unknown key, NaN or infinity is an error, and a null figure needs its reason.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Block(BaseModel):
    """Base of all blocks: frozen; an unknown key, NaN or infinity is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def unexplained(block: Block, figures: tuple[str, ...], missing: dict[str, str]) -> None:
    """Raise `ValueError` where one of `figures` is null without a reason, or has both a value and a reason."""
    for name in figures:
        known = getattr(block, name) is not None
        if not known and not missing.get(name):
            raise ValueError(f"'{name}' is null without a reason in 'missing'")
        if known and name in missing:
            raise ValueError(f"'{name}' has a value and a reason for missing")
    if stray := set(missing) - set(figures):
        raise ValueError(f"'missing' explains {sorted(stray)}, which no figure is called")


class Dataset(Block):
    """What the row was scored on. `note` is shown wherever a figure stands."""

    name: str
    split: str
    samples: Annotated[int, Field(ge=1)]
    note: str


class Accuracy(Block):
    """A proportion of right answers with Wilson's 95 % interval."""

    value: Fraction
    n: Annotated[int, Field(ge=1)]
    ci95: tuple[Fraction, Fraction]

    @model_validator(mode="after")
    def _ordered(self) -> Accuracy:
        if not self.ci95[0] <= self.value <= self.ci95[1]:
            raise ValueError(f"accuracy {self.value} is outside its interval {list(self.ci95)}")
        return self


class Divergence(Block):
    """The first value that differs from the reference and is no tie.

    Attributes:
        node: where.
        step: the reference's step; negative where a node fired before its declared latency.
        neuron: index in the node's shape.
        margin: the reference's `v - v_threshold` there.
    """

    node: str
    step: int
    neuron: tuple[int, ...]
    margin: float


class NodeAgreement(Block):
    """One node's share of `Agreement`.

    `spikes` is the fraction of equal entries, of whatever the node emits. Spike counts and `jaccard` are null
    together, for a node that emits values.
    """

    spikes: Fraction
    ties: Count
    mismatches: Count
    jaccard: Fraction | None
    spikes_reference: Count | None
    spikes_backend: Count | None

    @model_validator(mode="after")
    def _together(self) -> NodeAgreement:
        if len({v is None for v in (self.jaccard, self.spikes_reference, self.spikes_backend)}) > 1:
            raise ValueError("jaccard and the spike counts are null together, for a node that emits values")
        return self


class Agreement(Block):
    """The audit against the reference interpreter on the same samples.

    Attributes:
        exact: no mismatch, and ties in at most 1e-5 of the entries.
        ties: differences that rounding explains.
        spikes: fraction of equal [T, B, N] entries.
        jaccard: spikes in both over spikes in either.
        latency_steps: declared lag of each node.
        first_divergence: null where there is none.
        per_node: the same, node by node.
    """

    exact: bool
    ties: Count
    spikes: Fraction
    jaccard: Fraction
    latency_steps: dict[str, Count]
    first_divergence: Divergence | None
    per_node: dict[str, NodeAgreement]


class Stage(Block):
    """One stage's share of the network's operations (ACs and MACs), null where they were not counted."""

    kind: Literal["chip", "host"]
    share_of_ops: Fraction | None


class PerSample(Block):
    """Means per sample. `dense_macs` is what a machine without event skipping does over all steps."""

    spikes: Amount | None
    synops_ac: Amount | None
    synops_mac: Amount | None
    dense_macs: Amount | None
    neuron_updates: Amount | None


class Totals(Block):
    """The exact sums over all samples that `PerSample` divides."""

    spikes: Count | None
    synops_ac: Count | None
    synops_mac: Count | None
    dense_macs: Count | None
    neuron_updates: Count | None


class NeuronNode(Block):
    """A neuron node; means per sample. `spikes` and `rate` (per neuron and step) are null iff it emits values."""

    kind: Literal["neurons"] = "neurons"
    emits: Literal["spikes", "values"]
    neurons: Count
    spikes: Amount | None
    rate: Fraction | None
    neuron_updates: Amount

    @model_validator(mode="after")
    def _spikes_if_spiking(self) -> NeuronNode:
        if (self.emits == "spikes") != (self.spikes is not None) or (self.spikes is None) != (self.rate is None):
            raise ValueError(f"a node that emits {self.emits} with spikes {self.spikes} and rate {self.rate}")
        return self


class SynapseNode(Block):
    """A weighted node; means per sample. `events` are the non-zero values that reach it."""

    kind: Literal["synapses"] = "synapses"
    events: Amount
    synops_ac: Amount
    synops_mac: Amount
    dense_macs: Amount
    weights: Count


class DenseNode(Block):
    """A layer that runs densely (the ANN's, or a host stage); means per sample, `nonzero_macs` null if not seen."""

    kind: Literal["dense"] = "dense"
    passes: Count
    dense_macs: Amount
    nonzero_macs: Amount | None
    weights: Count


Node = Annotated[NeuronNode | SynapseNode | DenseNode, Field(discriminator="kind")]


class NotCounted(Block):
    """Work that is in no figure, by name."""

    name: str
    reason: str


class Counts(Block):
    """What one inference does. Null figures have their reason in `missing`."""

    samples: Annotated[int, Field(ge=1)]
    per_sample: PerSample
    totals: Totals
    per_node: dict[str, Node]
    not_counted: tuple[NotCounted, ...]
    missing: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _explained(self) -> Counts:
        unexplained(self.per_sample, tuple(PerSample.model_fields), self.missing)
        unexplained(self.totals, tuple(Totals.model_fields), self.missing)
        return self


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


class Timing(Block):
    """Wall time of the simulation on this machine; says nothing about a chip's speed."""

    ms_per_step: Amount
    samples_per_s: Amount
    batch: Annotated[int, Field(ge=1)]


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


class Difference(Block):
    """Accuracy of row `first` minus that of row `second` on the same samples."""

    first: str
    second: str
    value: Annotated[float, Field(ge=-1, le=1)]
    ci95: tuple[float, float]
    n: Annotated[int, Field(ge=1)]
    method: str


class Heatmap(Block):
    """An input as a picture: `values[y][x]`, first row on top unless `origin` is `lower`."""

    name: str
    values: tuple[tuple[float, ...], ...]
    x_label: str
    y_label: str
    origin: Literal["upper", "lower"] = "upper"


class Raster(Block):
    """The spikes of one node for the example: (step, flat neuron index) pairs."""

    node: str
    neurons: Annotated[int, Field(ge=1)]
    timesteps: Annotated[int, Field(ge=1)]
    events: tuple[tuple[Count, Count], ...]


class Trace(Block):
    """Membranes of a few neurons of one node for the example, before each reset, one value a step.

    Attributes:
        node: where.
        neurons: flat indices.
        values: by neuron, by step.
        thresholds: by neuron.
    """

    node: str
    neurons: tuple[Count, ...] = Field(min_length=1)
    values: tuple[tuple[float, ...], ...]
    thresholds: tuple[float, ...]


class Example(Block):
    """One sample, shown: its inputs, the spikes they cause, and membranes of a few neurons in the reference."""

    label: str
    predicted: dict[str, str]
    inputs: tuple[Heatmap, ...]
    rasters: tuple[Raster, ...]
    traces: tuple[Trace, ...] = ()
