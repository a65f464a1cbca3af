"""Places a network on the cores of a Loihi chip under published limits, and counts what its spikes do there.

Start at `chips.yaml` (the limits, each with its source), `place.py` (the rules) and `blocks.py` (what comes out).
"""
