"""What a suite found: `{suite, machine, rows: [{case, peer, ours, theirs, unit, ratio, equal}]}`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table

from spikeport.files import new_file
from spikeport.provenance import machine, processor


class SuiteRow(BaseModel):
    """One case.

    Attributes:
        case: its name.
        peer: what ours is measured against, with its version.
        ours: in `unit`.
        theirs: in `unit`, `None` where the peer could not be run.
        unit: of both.
        ratio: how many times better ours is, above 1; `None` without theirs.
        equal: whether both computed the same, in this run; `None` without theirs.
        reason: why something is not known.
        notes: figures beside the ratio, by name with its unit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: str
    peer: str
    ours: float
    theirs: float | None
    unit: str
    ratio: float | None
    equal: bool | None
    reason: str | None = None
    notes: dict[str, float | str] = Field(default_factory=dict)


class SuiteResult(BaseModel):
    """All rows, with the machine that they were measured on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: str
    machine: dict[str, Any]
    rows: tuple[SuiteRow, ...]

    @property
    def holds(self) -> bool:
        """Whether every pair that could be measured computed the same."""
        return all(row.equal is not False for row in self.rows)


def this_machine() -> dict[str, Any]:
    """Return what a timing depends on."""
    return machine() | processor()


def write_suite(result: SuiteResult, path: Path) -> None:
    """Write the result as JSON, whole or not at all."""
    with new_file(path) as aside:
        aside.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")


def print_suite(result: SuiteResult) -> None:
    """Print the rows as a table, the notes below."""
    table = Table(title=f"suite {result.suite}", title_justify="left")
    for name, side in (("case", "left"), ("peer", "left"), ("ours", "right"), ("theirs", "right"), ("ratio", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    table.add_column("unit")
    table.add_column("equal")
    for row in result.rows:
        theirs = "-" if row.theirs is None else f"{row.theirs:.4g}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.4g}"
        equal = {True: "yes", False: "NO", None: "-"}[row.equal]
        table.add_row(row.case, row.peer, f"{row.ours:.4g}", theirs, ratio, row.unit, equal)
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    for row in result.rows:
        notes = [f"{name} {_shown(value)}" for name, value in row.notes.items()]
        if row.reason:
            notes.insert(0, row.reason)
        if notes:
            console.print(f"{row.case}: {'; '.join(notes)}", highlight=False)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
