"""All converters of layers: importing a module registers its own."""

from spikeport.export.convert import neurons, recurrent
from spikeport.export.convert.layers import converters

__all__ = ["converters", "neurons", "recurrent"]
