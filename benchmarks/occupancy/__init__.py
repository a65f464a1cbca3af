"""The least that a network takes of a chip, where it is too large to unroll: exact counts, lower bounds of cores.

`python -m spikeport.benchmarks.occupancy [CASE ...]`. Start at `pattern.py` (which synapses there are, as products of
small matrices), then `bounds.py` (what they need of a core).
"""
