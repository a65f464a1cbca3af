"""Mappings for readers: a short occupancy table, and the file beside a deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from spikeport.deploy.loihi.mapper.blocks import ChipMapping

NAMES = {
    "compartments": "compartments",
    "in_axons": "axons in",
    "out_axons": "axons out",
    "synapse_words": "synaptic memory",
}
"""What a limit is called in a table."""


def write_mappings(mappings: Mapping[str, ChipMapping], path: Path) -> None:
    """Write `mapping.json`: one object with a block for each chip."""
    content = {name: mapping.model_dump() for name, mapping in mappings.items()}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def lines(mappings: Mapping[str, ChipMapping]) -> list[str]:
    """Return the occupancy table, and below it what breaks and what the samples cost."""
    rows = [("chip", "fits", "cores", "fullest core", "crossing spikes/sample"), *map(_row, mappings.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return table + [line for mapping in mappings.values() for line in _notes(mapping)]


def _row(mapping: ChipMapping) -> tuple[str, ...]:
    used = len(mapping.cores)
    cores = f"{used} of {mapping.cores_per_chip}" if used else "-"
    if mapping.chips > 1:
        cores += f", on {mapping.chips} chips"
    crossing = mapping.crossing()
    told = "-" if crossing is None else f"{crossing:.1f}"
    return (mapping.chip, "yes" if mapping.fits else "no", cores, fullest(mapping), told)


def fullest(mapping: ChipMapping) -> str:
    """Return which core is fullest, by which limit."""
    found = mapping.fullest()
    if found is None:
        return "-"
    core, name, fill = found
    return f"core {core}: {NAMES[name]} {100 * fill:.0f} %"


def _notes(mapping: ChipMapping) -> list[str]:
    found = []
    if mapping.breach is not None:
        found.append(f"{mapping.chip}: {mapping.breach.sentence}")
    found.append(f"{mapping.chip}: {cost(mapping)}")
    return found


def cost(mapping: ChipMapping) -> str:
    """Return energy and time in words, or why there are none."""
    parts = []
    if mapping.energy is None:
        parts.append(mapping.missing["energy"])
    else:
        low, high = mapping.energy.low_pj / 1e6, mapping.energy.high_pj / 1e6
        parts.append(f"estimated, not measured: {low:.3g} to {high:.3g} uJ per sample")
    if mapping.time is not None:
        parts.append(f"{mapping.time.low_ns / 1e3:.3g} to {mapping.time.high_ns / 1e3:.3g} us per step")
    return ", ".join(parts)
