"""Blocks of one sample, shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spikeport.benchmarks.blocks.base import Block, Count


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
