"""The format of an energy model's YAML file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spikeport.errors import ArtefactError, UnfaithfulError, UsageError
from spikeport.train.recipe import read_yaml

Picojoules = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Memory(_File):
    """On-chip memory.

    Attributes:
        sram_bytes: sizes of memories whose access cost is known, ascending.
        sram_pj: the cost of reading or writing one word in each; linear between, constant below the first.
        word_bytes: size of a weight, potential, activation or event.
        fifo_words: words in an event queue.
        address_add_pj: an addition that computes an address.
        address_mac_pj: a multiply-accumulate that computes one.
    """

    sram_bytes: tuple[Positive, ...] = Field(min_length=1)
    sram_pj: tuple[Picojoules, ...]
    word_bytes: Annotated[int, Field(gt=0)]
    fifo_words: Annotated[int, Field(gt=0)]
    address_add_pj: Picojoules
    address_mac_pj: Picojoules

    @model_validator(mode="after")
    def _table(self) -> Memory:
        if len(self.sram_bytes) != len(self.sram_pj):
            raise ValueError("sram_bytes and sram_pj differ in length")
        if list(self.sram_bytes) != sorted(set(self.sram_bytes)):
            raise ValueError("sram_bytes do not ascend")
        return self

    def access_pj(self, words: int) -> float:
        """Return the cost of one access in a memory of `words` words.

        Raises:
            UnfaithfulError: the memory is larger than the table reaches.
        """
        size = words * self.word_bytes
        if size > self.sram_bytes[-1]:
            raise UnfaithfulError(
                f"a buffer of {size} bytes",
                f"the model's memory table ends at {self.sram_bytes[-1]:.0f} bytes",
                "Use a model with off-chip memory",
            )
        points = list(zip(self.sram_bytes, self.sram_pj, strict=True))
        if size <= points[0][0]:
            return points[0][1]
        (b0, e0), (b1, e1) = next(pair for pair in pairwise(points) if size <= pair[1][0])
        return e0 + (e1 - e0) * (size - b0) / (b1 - b0)


class Variant(_File):
    """One set of constants.

    Attributes:
        ac_pj: an accumulate; null only where `dense`.
        mac_pj: a multiply-accumulate; null where the model prices spikes only, and then graded events are refused.
        update_pj: stepping one neuron; null where the model leaves it out.
        spike_pj: a neuron that fires, beyond its update.
        event_pj: bringing one event to one weighted node.
        memory: null where the model leaves it out.
        dense: the machine skips no zero, so that a synapse costs a multiply-accumulate at every step.
    """

    name: Text
    note: str = ""
    ac_pj: Picojoules | None = None
    mac_pj: Picojoules | None = None
    update_pj: Picojoules | None = None
    spike_pj: Picojoules = 0.0
    event_pj: Picojoules = 0.0
    memory: Memory | None = None
    dense: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Variant:
        if self.dense and self.mac_pj is None:
            raise ValueError("a machine that skips no zero needs mac_pj")
        if not self.dense and self.ac_pj is None:
            raise ValueError("ac_pj is missing")
        return self


class Threshold(_File):
    """A published spike rate below which a spiking network needs less energy than its ANN.

    Attributes:
        name: which setting of the source.
        low: spikes per synapse and inference, in the source's least favourable setting.
        high: in its most favourable one; equal to `low` where there is one figure.
        holds_for: what the source assumes.
    """

    name: Text
    low: Positive
    high: Positive
    holds_for: Text

    @model_validator(mode="after")
    def _ordered(self) -> Threshold:
        if self.low > self.high:
            raise ValueError("low exceeds high")
        return self


class EnergyModel(_File):
    """Constants with their source, and what they leave out.

    It has one of: `variants`, the name of a `chip` whose constants stand in `deploy/loihi/mapper/chips.yaml`,
    `thresholds`, or the reason why there is `none_published`.

    Attributes:
        name: equals the file's stem.
        title: a few words for a chart's axis.
        assumes: completes "Assuming that ...".
        technology: process, voltage, number format.
        citation: where the constants are published.
        confidence: how sure the constants are.
        leaves_out: what no constant covers.
        prices: `spiking` where the source has no constants for an ANN.
        summary: whether it has a column in the table of all rows.
        nominal: the variant that `per_sample_pj` is.
        variants: the sets of constants that span the range.
        thresholds: published spike rates; no energy follows from them.
    """

    name: Text
    title: Text
    assumes: Text
    technology: Text
    citation: Text
    confidence: Text
    leaves_out: tuple[Text, ...] = Field(min_length=1)
    prices: Literal["both", "spiking"] = "both"
    summary: bool = True
    nominal: Text | None = None
    variants: tuple[Variant, ...] = ()
    chip: Text | None = None
    thresholds: tuple[Threshold, ...] = ()
    none_published: Text | None = None

    @model_validator(mode="after")
    def _one_source(self) -> EnergyModel:
        given = [n for n in ("variants", "chip", "thresholds", "none_published") if getattr(self, n)]
        if len(given) != 1:
            raise ValueError(f"it needs one of variants, chip, thresholds and none_published, and has {given}")
        return self

    @model_validator(mode="after")
    def _names(self) -> EnergyModel:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError(f"variants are named twice: {names}")
        if names and self.nominal not in names:
            raise ValueError(f"nominal '{self.nominal}' is none of the variants {names}")
        if not names and self.nominal is not None:
            raise ValueError(f"nominal '{self.nominal}' needs variants")
        return self

    @model_validator(mode="after")
    def _both_sides(self) -> EnergyModel:
        for variant in self.variants if self.prices == "both" else ():
            if variant.mac_pj is None:
                raise ValueError(f"variant '{variant.name}' has no mac_pj: give one, or say `prices: spiking`")
        return self


def read_model(path: Path) -> EnergyModel:
    """Read and check a model file.

    Raises:
        ArtefactError: it is missing, no YAML, or not a model; the message names the key.
    """
    try:
        model = EnergyModel.model_validate(read_yaml(path))
    except UsageError as error:
        raise ArtefactError(error.subject, error.reason, error.fix) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "model"
        raise ArtefactError(f"{path}, {where}", first["msg"], "See benchmarks/energy for examples") from None
    if model.name != path.stem:
        raise ArtefactError(str(path), f"it calls itself '{model.name}'", f"Name it {path.stem}")
    return model if model.chip is None else _with_chip(model, path)


def _with_chip(model: EnergyModel, path: Path) -> EnergyModel:
    """Put the constants of `model.chip` in, or the reason why there are none."""
    from spikeport.benchmarks.energy.chips import chip_variants
    from spikeport.deploy.loihi.mapper import chip

    assert model.chip is not None
    try:
        found = chip.load(model.chip)
    except UsageError as error:
        raise ArtefactError(f"{path}, chip", error.reason, error.fix) from None
    variants = chip_variants(found)
    changes = {"variants": variants, "nominal": variants[0].name} if variants else {"none_published": found.no_costs}
    return EnergyModel.model_validate({**model.model_dump(exclude={"chip"}), **changes})
