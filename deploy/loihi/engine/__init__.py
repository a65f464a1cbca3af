"""The integer engine: what Lava's `fixed_pt` simulation of Loihi computes, bit for bit, compiled and batched.

Start at `network.py` (what can be run) and `definition.py` (the rules, one plain step after the other); `Engine`
computes the same integers from a compiled layout.
"""

from spikeport.deploy.loihi.engine.network import IntegerNetwork, Population, Synapses
from spikeport.deploy.loihi.engine.run import Engine, Records

__all__ = ["Engine", "IntegerNetwork", "Population", "Records", "Synapses"]
