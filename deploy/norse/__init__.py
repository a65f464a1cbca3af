"""Backend `norse`: norse 1.1.0 in float32, in an isolated environment of its own."""

from __future__ import annotations

from collections.abc import Sequence

from spikeport.deploy.backend import Inputs, Verdict
from spikeport.deploy.norse.legalise import legalise
from spikeport.deploy.norse.program import NorseProgram
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph


class NorseBackend:
    """norse's own modules, made by its NIR importer from a legalised graph."""

    name = "norse"
    calibrates = False

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node."""
        return [_verdict(graph, name) for name in graph.order]

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> NorseProgram:
        """Return the program; `calibration` is not needed."""
        names = {node: f"n{i}" for i, node in enumerate(graph.order)}
        return NorseProgram(graph, names, {names[node]: legalise(graph, node).node for node in graph.order})


def _verdict(graph: ChipGraph, name: str) -> Verdict:
    kind = type(graph.nodes[name]).__name__
    try:
        rewriting = legalise(graph, name).rewriting
    except UnfaithfulError as error:
        return Verdict(name, kind, "refused", f"{error.reason}. {error.fix}")
    return Verdict(name, kind, "rewritten" if rewriting else "native", rewriting)


backend = NorseBackend()
