"""The mark of the modules that the exporter itself puts in a neuron's place."""

from __future__ import annotations

from torch import nn


class StepCell(nn.Module):
    """A neuron in the form of one step; tracing keeps it whole, and its state `mem` starts anew when emptied.

    Attributes:
        states: what its forward returns behind the spikes, where it returns a tuple.
        returns_tuple: whether it does.
    """

    states: tuple[str, ...] = ("mem",)
    returns_tuple = True
