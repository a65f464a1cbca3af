"""Which nodes of a chip graph are one snnTorch neuron together: a membrane, its threshold, its reset, its recurrence.

    LIF | IF | CubaLIF                                        Leaky, Synaptic   reset_mechanism="zero"
    LI | I -> Threshold -> Scale(-threshold) -> the LI        Leaky             "subtract"
    LI -> LI -> Threshold -> Scale(-threshold) -> second LI   Synaptic          "subtract"
    LI | I | CubaLI -> Threshold                              Leaky, Synaptic   "none"
    LI | I | CubaLI                                           the same, read at the membrane
    Threshold                                                 Leaky             "none", beta 0
    any of the spiking ones -> Affine | Linear | Conv2d | Scale -> itself       RLeaky, RSynaptic

An edge of each loop carries the step before; a register anywhere else does not come back, such as those of a reset by
subtraction without delay.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
import torch

from spikeport.errors import UnfaithfulError
from spikeport.export.back.dynamics import Dynamics, dynamics, equal, threshold
from spikeport.export.graph import VALUED, ChipGraph, Edge

RECURRENT = (nir.Affine, nir.Linear, nir.Conv2d, nir.Scale)


@dataclass(frozen=True)
class Cell:
    """The nodes of one snnTorch neuron.

    Attributes:
        entry: the node that its input reaches.
        dynamics: decays, and the factor on its input.
        spikes: the node that emits its spikes, or `None` where only the membrane is read.
        membrane: the node that emits its membrane, if one does.
        current: the LI that emits its synaptic current, if one does.
        reset: the Scale that subtracts the threshold, if one does.
        recurrent: what its spikes pass on their way back; the spikes themselves for an edge without a node.
    """

    entry: str
    dynamics: Dynamics
    spikes: str | None = None
    membrane: str | None = None
    current: str | None = None
    reset: str | None = None
    recurrent: str | None = None

    @property
    def name(self) -> str:
        """The node that names the neuron."""
        return self.spikes or self.entry

    @property
    def nodes(self) -> frozenset[str]:
        """All nodes that the neuron stands for."""
        names = (self.entry, self.spikes, self.membrane, self.current, self.reset, self.recurrent)
        return frozenset(name for name in names if name is not None)

    @property
    def loops(self) -> frozenset[Edge]:
        """The edges of the reset and of the recurrence."""
        edges = {(self.name, self.reset), (self.reset, self.membrane)} if self.reset else set()
        if self.recurrent:
            edges |= {(self.name, self.recurrent), (self.recurrent, self.entry)}
        return frozenset((u, w) for u, w in edges if u and w)


def find_cells(graph: ChipGraph, dtype: torch.dtype) -> list[Cell]:
    """Return the neurons of `graph`; `dtype` says which parameters count as equal.

    Raises:
        UnfaithfulError: a register edge, or a neuron's offset, has no form in snnTorch.
    """
    finder = _Finder(graph, dtype)
    resets_first = sorted(graph.spiking, key=lambda s: not any(finder.returns(s, q) for q in finder.successors[s]))
    cells = []
    for spikes in resets_first:
        cells.append(finder.around(spikes))
        finder.claimed |= cells[-1].nodes
    values = (n for n in graph.neurons if isinstance(graph.nodes[n], VALUED) and n not in finder.claimed)
    cells += [Cell(n, dynamics(graph, n), membrane=n) for n in values]
    allowed = frozenset[Edge]().union(*(cell.loops for cell in cells))
    if stray := sorted(graph.registers - allowed):
        raise UnfaithfulError(
            f"register edge {stray[0][0]} -> {stray[0][1]}",
            "it waits one step in a way that comes back as no snnTorch neuron",
            "What comes back: one Affine, Linear, Conv2d or Scale from a spiking neuron onto itself, and the reset "
            "LI -> Threshold -> Scale(-threshold) -> LI, but not yet the reset without delay",
        )
    return cells


class _Finder:
    def __init__(self, graph: ChipGraph, dtype: torch.dtype) -> None:
        self.graph = graph
        self.dtype = dtype
        self.claimed: frozenset[str] = frozenset()
        self.successors: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for source, target in graph.edges:
            self.successors[source].append(target)

    def around(self, spikes: str) -> Cell:
        """Return the neuron that emits `spikes`."""
        membrane = self._membrane(spikes)
        if membrane is None:
            return Cell(spikes, dynamics(self.graph, spikes), spikes, recurrent=self._recurrent(spikes, spikes, None))
        reset = self._reset(spikes, membrane)
        current = self._current(membrane, reset)
        entry, steps = membrane, dynamics(self.graph, membrane)
        if current is not None:
            before = dynamics(self.graph, current)
            entry, steps = current, Dynamics(steps.beta, before.drive, alpha=before.beta)
        return Cell(entry, steps, spikes, membrane, current, reset, self._recurrent(spikes, entry, reset))

    def returns(self, spikes: str, back: str) -> bool:
        """Return whether `spikes -> back` goes on to one node only and one of both edges is a register."""
        targets = self.successors[back]
        if self.graph.predecessors[back] != (spikes,) or len(targets) != 1:
            return False
        return ((spikes, back) in self.graph.registers) != ((back, targets[0]) in self.graph.registers)

    def _membrane(self, spikes: str) -> str | None:
        sources = self.graph.predecessors[spikes]
        if not isinstance(self.graph.nodes[spikes], nir.Threshold) or len(sources) != 1:
            return None
        (source,) = sources
        fits = isinstance(self.graph.nodes[source], VALUED) and source not in self.claimed
        return source if fits and (source, spikes) not in self.graph.registers else None

    def _reset(self, spikes: str, membrane: str) -> str | None:
        if isinstance(self.graph.nodes[membrane], nir.CubaLI):
            return None
        drive = dynamics(self.graph, membrane).drive
        theta = threshold(self.graph.nodes[spikes], self.graph.shapes[spikes])
        for back in self.graph.predecessors[membrane]:
            node = self.graph.nodes[back]
            if isinstance(node, nir.Scale) and self.returns(spikes, back):
                scale = np.asarray(node.scale, dtype=np.float64)
                if equal(-drive * scale, theta, self.dtype):
                    return back
        return None

    def _current(self, membrane: str, reset: str | None) -> str | None:
        """Return the LI or I that is the synaptic current: all that feeds the membrane; others may read it too."""
        sources = [u for u in self.graph.predecessors[membrane] if u != reset]
        if len(sources) != 1 or isinstance(self.graph.nodes[membrane], nir.CubaLI):
            return None
        (source,) = sources
        leaks = isinstance(self.graph.nodes[source], nir.LI | nir.I)
        late = (source, membrane) in self.graph.registers or source in self.claimed
        return source if leaks and not late and equal(dynamics(self.graph, membrane).drive, 1.0, self.dtype) else None

    def _recurrent(self, spikes: str, entry: str, reset: str | None) -> str | None:
        found = [
            u
            for u in self.graph.predecessors[entry]
            if u != reset and isinstance(self.graph.nodes[u], RECURRENT) and self.returns(spikes, u)
        ]
        if (spikes, entry) in self.graph.registers:
            found.append(spikes)
        if len(found) > 1:
            raise UnfaithfulError(
                f"neuron '{spikes}'",
                f"its spikes return over {len(found)} ways ({', '.join(found)}), and snnTorch's neurons have one",
                "Merge their weights into one",
            )
        return found[0] if found else None
