"""`results.json`, schema 2: one object that feeds the terminal table, the HTML page and Markdown.

A figure that is not known is null and never zero. Its reason stands in `missing` under the figure's name, or,
for a row that never ran (`unsupported`, `unavailable`, `failed`), in the row's `reason`. NaN and infinity are
refused. The page is drawn from this file alone, so the optional `example` carries its sample input and raster.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from spikeport.benchmarks.blocks import (
    Accuracy,
    Agreement,
    Answers,
    Block,
    Counts,
    Dataset,
    Difference,
    Embeddings,
    EnergyComparison,
    EnergyEstimate,
    Example,
    Footprint,
    Measured,
    Stage,
    Timing,
    unexplained,
)
from spikeport.benchmarks.older import from_1
from spikeport.deploy.loihi.losses import LayerLosses
from spikeport.deploy.loihi.mapper.blocks import ChipMapping
from spikeport.errors import ArtefactError
from spikeport.export.coverage import Coverage
from spikeport.files import new_file

SCHEMA = 2

Status = Literal["ok", "quantised", "mismatch", "partial", "unsupported", "unavailable", "failed"]
RAN_AS_DECLARED: tuple[Status, ...] = ("ok", "quantised")
NEVER_RAN: tuple[Status, ...] = ("unsupported", "unavailable", "failed")

FIGURES = ("accuracy", "coverage", "agreement", "counts", "measured", "timing", "footprint", "discrimination")


class Row(Block):
    """One network in one place: the ANN twin, the SNN, or a backend.

    A `quantised` row is of a backend that rounds parameters to integers and says so: it differs from the reference by
    that, and `agreement` says how much; a `mismatch` is of one that claims to be exact. `coverage` is what the samples
    exercised of every spiking node on a chip. `missing` gives the reason of each null among `FIGURES`, and of an empty
    `energy`; a row that never ran gives one `reason` for all. `discrimination` is by modality: of its `embedding` and,
    where an L2 layer stands in front of that, of the `rates` which this got. `mapping` says where the network lies on a
    chip, by chip (`stage/chip` where there are several stages), for a backend that can place it. `quantised` says by
    layer what integers cost, for a backend that quantises. `answers` pairs the row with another file's. `measured_also`
    are the joules at further batch sizes, and `swept` is the condition that a sweep changed.
    """

    id: str
    name: str
    kind: Literal["ann", "snn", "backend"]
    twin: str | None
    model: str
    bundle: str | None
    seed: int | None
    dataset: Dataset
    condition: dict[str, str | float | int | bool | None]
    dt_s: Annotated[float, Field(gt=0)] | None
    timesteps: Annotated[int, Field(ge=1)] | None
    status: Status
    reason: str | None
    accuracy: Accuracy | None
    answers: Answers | None = None
    coverage: Coverage | None
    agreement: Agreement | None
    stages: tuple[Stage, ...]
    counts: Counts | None
    footprint: Footprint | None = None
    discrimination: dict[str, dict[str, Embeddings]] | None = None
    energy: tuple[EnergyEstimate, ...]
    measured: Measured | None
    measured_also: tuple[Measured, ...] = ()
    timing: Timing | None
    mapping: dict[str, ChipMapping] = Field(default_factory=dict)
    quantised: dict[str, LayerLosses] = Field(default_factory=dict)
    swept: dict[str, float] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _explained(self) -> Row:
        if self.status != "ok" and not self.reason:
            raise ValueError(f"row '{self.id}' is {self.status} without a reason")
        if self.status in NEVER_RAN:
            return self
        unexplained(self, FIGURES, {k: v for k, v in self.missing.items() if k != "energy"})
        if bool(self.energy) == ("energy" in self.missing):
            raise ValueError(f"row '{self.id}' has either energy estimates or a reason for none in 'missing'")
        return self


class Results(Block):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_version: Literal[2] = Field(default=2, alias="schema")
    created: str
    spikeport: str
    git: str | None
    environment: dict[str, str]
    title: str = "Benchmark"
    rows: tuple[Row, ...] = Field(min_length=1)
    comparisons: tuple[EnergyComparison, ...] = ()
    differences: tuple[Difference, ...] = ()
    example: Example | None = None
    reproduce: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _references(self) -> Results:
        ids = [row.id for row in self.rows]
        if len(set(ids)) != len(ids):
            raise ValueError(f"row ids are not unique: {ids}")
        named = {n for c in self.comparisons for n in (c.snn, c.ann)} | {
            n for d in self.differences for n in (d.first, d.second)
        }
        if stray := named - set(ids):
            raise ValueError(f"there is no row {', '.join(sorted(stray))}")
        return self


def write_results(results: Results, path: Path) -> None:
    """Write `results.json`: aside first, then renamed over `path`."""
    with new_file(path) as aside:
        aside.write_text(results.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    """Read a `results.json`, of this schema or of 1.

    Raises:
        ArtefactError: the file is missing, no JSON, not ours, of another schema version, or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtefactError(str(path), f"it cannot be read ({error.strerror})", "Check the path") from None
    except ValueError:
        raise ArtefactError(str(path), "it is not JSON", "Give a results.json of `spikeport bench --json`") from None
    if not isinstance(content, dict) or "schema" not in content or "rows" not in content:
        raise ArtefactError(str(path), "it is not a results.json", "Give one written by `spikeport bench --json`")
    if content["schema"] not in (1, SCHEMA):
        reason = f"it has schema {content['schema']!r}, this spikeport reads 1 and {SCHEMA}"
        raise ArtefactError(str(path), reason, "Run `spikeport bench` again with this version")
    try:
        return Results.model_validate(from_1(content) if content["schema"] == 1 else content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "results"
        raise ArtefactError(f"{path}, {where}", first["msg"], "Run `spikeport bench` again") from None
