"""All converters of layers and calls: importing a module registers its own."""

from spikeport.export.convert import arithmetic, cells, joining, neurons, pooling, recurrent
from spikeport.export.convert.functions import functions
from spikeport.export.convert.layers import converters

__all__ = ["arithmetic", "cells", "converters", "functions", "joining", "neurons", "pooling", "recurrent"]
