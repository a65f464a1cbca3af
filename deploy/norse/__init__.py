"""Backend `norse`: the cells of norse 1.1.0 in float64, in an overlay on the torch that runs here."""

from __future__ import annotations

from collections.abc import Sequence

from spikeport.deploy.backend import Inputs, Verdict
from spikeport.deploy.norse.parts import part_of
from spikeport.deploy.norse.program import NorseProgram
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph


class NorseBackend:
    """norse's own cells for neurons, torch's functions for what lies between."""

    name = "norse"
    calibrates = False

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node: refused only where NIR leaves its step open and the user has not said it."""
        return [_verdict(graph, name) for name in graph.order]

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> NorseProgram:
        """Return the program; `calibration` is not needed."""
        return NorseProgram(graph, {name: part_of(graph, name) for name in graph.order})


def _verdict(graph: ChipGraph, name: str) -> Verdict:
    kind = type(graph.nodes[name]).__name__
    try:
        part = part_of(graph, name)
    except UnfaithfulError as error:
        return Verdict(name, kind, "refused", f"{error.reason}. {error.fix}")
    return Verdict(name, kind, part.fate, part.words)


backend = NorseBackend()
