"""A `results.json` of schema 1, read as one of schema 2: what 1 does not say is null with that reason, never zero.

Schema 1 had no coverage, called a row that differs by its declared quantisation a `mismatch`, and gave milliseconds a
step, an ANN's step being its whole inference, of one run. Two of its figures came while it lasted.
"""

from __future__ import annotations

from typing import Any

OLDER = "the file is older than this figure"
LATER = ("footprint", "discrimination", "coverage")
BY_DECLARATION = "quantised to integers"
"""How the reason of a mismatch by construction began."""


def from_1(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a file of schema 1 as schema 2 says it; what is damaged stays so, and is refused there."""
    rows = content["rows"]
    if isinstance(rows, list):
        rows = [_row(row) if isinstance(row, dict) else row for row in rows]
    return {**content, "schema": 2, "rows": rows}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    unknown = [name for name in LATER if name not in row]
    row = {**dict.fromkeys(unknown), **row}
    if isinstance(missing := row.get("missing"), dict):
        row["missing"] = {**dict.fromkeys(unknown, OLDER), **missing}
    if row.get("status") == "mismatch" and str(row.get("reason")).startswith(BY_DECLARATION):
        row["status"] = "quantised"
    if isinstance(timing := row.get("timing"), dict):
        row["timing"] = _timing(timing)
    return row


def _timing(timing: dict[str, Any]) -> dict[str, Any]:
    per_s = timing.get("samples_per_s")
    kept = {name: value for name, value in timing.items() if name != "ms_per_step"}
    ms = 1e3 / per_s if isinstance(per_s, int | float) and per_s > 0 else None
    return {**kept, "ms_per_sample": ms, "repeats": None, "spread": None}
