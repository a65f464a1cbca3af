"""All converters of layers and calls: importing a module registers its own."""

from spikeport.export.convert import (
    arithmetic,
    cells,
    delta,
    graded,
    joining,
    neurons,
    pooling,
    recurrent,
    resizing,
    slicing,
    wires,
)
from spikeport.export.convert.functions import functions
from spikeport.export.convert.layers import converters

__all__ = [
    "arithmetic",
    "cells",
    "converters",
    "delta",
    "functions",
    "graded",
    "joining",
    "neurons",
    "pooling",
    "recurrent",
    "resizing",
    "slicing",
    "wires",
]
