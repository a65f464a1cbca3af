"""Chip stages on the cores of a chip, for backends whose programs could lie there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from spikeport.deploy.backend import Inputs, Program
from spikeport.deploy.loihi.mapper.blocks import ChipMapping
from spikeport.deploy.loihi.mapper.chip import Chip, available, load
from spikeport.deploy.pipeline import NetworkRun
from spikeport.export.recording import Recording

Mappings = Mapping[str, Mapping[str, ChipMapping]]
"""By stage, then by chip."""


@runtime_checkable
class Placeable(Protocol):
    """A program of a network that could lie on a chip's cores."""

    def mapping(self, chip: Chip, stage: str, inputs_TBN: Inputs | None, recording: Recording | None) -> ChipMapping:
        """Return where the network lies on `chip`, and what the recorded spikes do there."""
        ...


def map_programs(programs: Mapping[str, Program], run: NetworkRun | None, chips: Sequence[str] = ()) -> Mappings:
    """Place every stage whose program can be placed.

    Args:
        programs: by stage.
        run: what they did, `None` where nothing was run.
        chips: names or YAML files; by default every chip that comes with spikeport.

    Raises:
        UsageError: there is no such chip.
    """
    wanted = [load(name) for name in chips or available()]
    found: dict[str, dict[str, ChipMapping]] = {}
    for stage, program in programs.items():
        if isinstance(program, Placeable):
            inputs = run.chip_inputs[stage] if run else None
            recording = run.recordings[stage] if run else None
            found[stage] = {chip.name: program.mapping(chip, stage, inputs, recording) for chip in wanted}
    return found


def by_chip(mappings: Mappings) -> dict[str, ChipMapping]:
    """Return all mappings by chip, by `stage/chip` where there are several stages."""
    several = len(mappings) > 1
    return {
        f"{stage}/{chip}" if several else chip: mapping
        for stage, of in mappings.items()
        for chip, mapping in of.items()
    }
