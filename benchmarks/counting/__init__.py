"""Exact counts of what a network does: events times fan-out, never sampled, never padded."""
