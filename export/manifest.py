"""`manifest.json`: what a bundle holds and means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spikeport.errors import ArtefactError
from spikeport.export.coverage import Coverage
from spikeport.files import plain_name, same_file

SCHEMA = 2
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"

FileName = Annotated[str, AfterValidator(plain_name)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class InputSpec(_Model):
    """One input: its shape without time and batch, and how raw data become it."""

    name: str
    shape: tuple[int, ...]
    encoding: dict[str, Any] | None = None


class ChipSpec(_Model):
    """A chip stage: a NIR file with its register edges.

    `graded`: the inputs that had values other than 0 and 1 on the sample; null where it is not known.
    """

    kind: Literal["chip"] = "chip"
    name: FileName
    file: FileName
    sha256: Sha256
    registers: tuple[tuple[str, str], ...]
    inputs: dict[str, str]
    outputs: dict[str, str]
    graded: tuple[str, ...] | None = None


class HostSpec(_Model):
    """A host stage: an ONNX file; the states of a step stage go in as `state_in/<name>`, out as `state_out/<name>`."""

    kind: Literal["host"] = "host"
    name: FileName
    file: FileName
    sha256: Sha256
    form: Literal["step", "sequence", "window"]
    timesteps_out: int = Field(ge=1)
    inputs: dict[str, str]
    outputs: dict[str, str]
    macs_per_call: int = Field(ge=0)
    input_elements: int = Field(ge=1)
    output_elements: int = Field(ge=1)
    not_counted: tuple[str, ...] = ()
    weights: int | None = Field(default=None, ge=0)
    states: dict[str, tuple[int, ...]] = Field(default_factory=dict)


class RegisterSpec(_Model):
    """A tensor that carries another of the step before, 0 at a sample's first step, across stages."""

    tensor: str
    source: str
    shape: tuple[int, ...]


class RewriteSpec(_Model):
    """A change of form between the model and the graph."""

    node: str
    what: str
    bound: str


class Verification(_Model):
    """How the export was held against the model.

    `exact`: no spike of any neuron node differs on the samples but for ties within rounding. `skipped`: the user
    asked for `--no-verify`. `coverage`: what the samples exercised, null where nothing was verified or it is not known.
    """

    status: Literal["exact", "skipped"]
    samples: int
    entries: int
    ties: int
    host_max_difference: float | None = None
    coverage: Coverage | None = None


class Manifest(_Model):
    """The bundle's table of contents.

    `outputs` are all tensors that the network answers with, and `answer` is the one that scores are read from.
    """

    schema_version: Literal[2] = Field(default=2, alias="schema")
    name: str
    dt_s: float = Field(gt=0)
    timesteps: int = Field(ge=1)
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    answer: str
    stages: tuple[Annotated[ChipSpec | HostSpec, Field(discriminator="kind")], ...]
    registers: tuple[RegisterSpec, ...] = ()
    golden_sha256: Sha256
    rewrites: tuple[RewriteSpec, ...]
    verification: Verification
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _a_file_for_each(self) -> Self:
        """Refuse two stages of one name or file: what one writes, the other would overwrite."""
        if name := same_file(stage.name for stage in self.stages):
            raise ValueError(f"two stages are called '{name}', or take one folder on some system")
        if name := same_file([MANIFEST, GOLDEN, *(stage.file for stage in self.stages)]):
            raise ValueError(f"two things lie in the file '{name}', or in one on some system")
        return self

    @model_validator(mode="after")
    def _answers(self) -> Self:
        if self.answer not in self.outputs:
            raise ValueError(f"the answer '{self.answer}' is none of the outputs {list(self.outputs)}")
        return self

    def dump(self) -> str:
        """Return the JSON text."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read `manifest.json`, of this schema or an older one.

    Raises:
        ArtefactError: it is missing, not JSON, of another schema, or says what no manifest says.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(str(path), "there is no manifest", "Name a bundle that `spikeport export` made") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(str(path), f"it is not readable JSON ({error})", "Export the bundle again") from error
    schema = content.get("schema") if isinstance(content, dict) else type(content).__name__
    if schema not in (1, SCHEMA):
        raise ArtefactError(
            str(path), f"its schema is {schema}, this version reads 1 and {SCHEMA}", "Export it with this version"
        )
    try:
        return Manifest.model_validate_json(json.dumps(_from_1(content) if schema == 1 else content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join([str(path), *filter(None, [".".join(str(part) for part in first["loc"])])])
        raise ArtefactError(where, first["msg"].removeprefix("Value error, "), "Export the bundle again") from error


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of schema 1 as one of 2: its answer was the first output, its coverage is not known."""
    outputs = content.get("outputs")
    answer = outputs[0] if isinstance(outputs, list) and outputs else None
    return {**content, "schema": SCHEMA, "answer": answer}
