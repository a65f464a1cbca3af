"""Loaders of published audio-visual data, over the layouts in which they are distributed."""
