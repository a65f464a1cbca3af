"""What the mapper hands on: one block of `mapping.json` and of a row's `mapping` in `results.json`.

Frozen pydantic models, light to import. A figure that is not known is null with its reason in `missing`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BreachBlock(_Block):
    """The first limit that breaks: see `placement.Breach`."""

    limit: str
    layer: str
    needed: Count
    available: Count
    unit: str
    detail: str
    fits: str

    @property
    def sentence(self) -> str:
        """The breach in words."""
        over = f"{self.detail} {self.needed} {self.unit}, there are {self.available}"
        return f"layer '{self.layer}': {over}. {self.fits}"


class CoreBlock(_Block):
    """What one core holds: neurons by layer, and how much of each limited resource, over its limit or not."""

    core: Count
    layers: dict[str, Count]
    usage: dict[str, Count]


class MeshBlock(_Block):
    """Where cores lie on a chip; a model assumption."""

    columns: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    cores_per_tile: Annotated[int, Field(ge=1)]


class LimitBlock(_Block):
    """One limit of a core."""

    value: Annotated[int, Field(ge=1)] | None
    unit: str
    source: str
    mark: Literal["published", "inferred", "from memory"]


class LayerTraffic(_Block):
    """Means per sample of one source: see `traffic.KINDS`."""

    spikes: Amount
    synops: Amount
    within: Amount
    crossing: Amount
    injected: Amount
    between_chips: Amount
    hops_x: Amount
    hops_y: Amount


class MappedEnergy(_Block):
    """Energy per sample on the chip under published constants; an estimate."""

    kind: Literal["estimated"] = "estimated"
    per_sample_pj: Amount
    low_pj: Amount
    high_pj: Amount
    nominal: str
    sources: tuple[str, ...]
    leaves_out: tuple[str, ...]


class StepTime(_Block):
    """Time of a step on the chip under published constants: means, and the longest step; an estimate."""

    kind: Literal["estimated"] = "estimated"
    low_ns: Amount
    high_ns: Amount
    worst_ns: Amount
    source: str
    leaves_out: tuple[str, ...]


class ChipMapping(_Block):
    """A chip stage on a chip.

    Attributes:
        chip: its name.
        title: its title.
        stage: of the network.
        fits: on one chip.
        breach: the first limit that breaks, where it does not.
        chips: that `cores` lie on; 0 where nothing could be placed.
        cores_per_chip: on one chip.
        mesh: where they lie.
        limits: of one core.
        neurons: of the stage.
        synapses: unrolled.
        weights: stored in the stage's graph, where convolutions share theirs.
        cores: that hold something.
        traffic: by source.
        energy: null with a reason.
        time: null with a reason.
        assumptions: in words.
        missing: reasons of nulls among traffic, energy and time.
    """

    chip: str
    title: str
    stage: str
    fits: bool
    breach: BreachBlock | None
    chips: Count
    cores_per_chip: Annotated[int, Field(ge=1)]
    mesh: MeshBlock
    limits: dict[str, LimitBlock]
    neurons: Count
    synapses: Count
    weights: Count
    cores: tuple[CoreBlock, ...]
    traffic: dict[str, LayerTraffic] | None
    energy: MappedEnergy | None
    time: StepTime | None
    assumptions: tuple[str, ...]
    missing: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _explained(self) -> ChipMapping:
        if self.fits != (self.breach is None):
            raise ValueError("a network fits, or there is the limit that breaks")
        for name in ("traffic", "energy", "time"):
            if (getattr(self, name) is None) != (name in self.missing):
                raise ValueError(f"'{name}' has either a value or a reason in 'missing'")
        return self

    def crossing(self) -> float | None:
        """Return the messages between cores per sample; those from outside the chip are not among them."""
        return None if self.traffic is None else sum(of.crossing for of in self.traffic.values())

    def fullest(self) -> tuple[int, str, float] | None:
        """Return the fullest core, by which limit, and what share of it is used."""
        found = [
            (core.usage[name] / limit.value, core.core, name)
            for core in self.cores
            for name, limit in self.limits.items()
            if limit.value is not None and name in core.usage and name not in ("populations", "formats")
        ]
        if not found:
            return None
        fill, core, name = max(found, key=lambda one: one[0])
        return core, name, fill
