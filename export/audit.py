"""The audit: is a recording the same network as the reference, up to rounding?

The interpreter runs in lock-step with the recording. Where a spike differs and the interpreter's
`|v - v_threshold|` is within the running bound of rounding error at the backend's precision, it is a *tie*:
counted, listed, and the interpreter goes on with the backend's spike. Any other difference is a *mismatch*,
and the interpreter goes on with its own. `exact` means no mismatch, and ties in at most 1e-5 of the entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeport.errors import ArtefactError
from spikeport.export.graph import SPIKING, ChipGraph
from spikeport.export.interpreter import Interpreter, check_inputs, recorded_nodes
from spikeport.export.neurons import Array, Spikes
from spikeport.export.recording import Recording
from spikeport.export.rounding import UNDERFLOW, Bounds, ErrorBounds, NoBounds

TIES_ALLOWED = 1e-5
TIES_LISTED = 100


@dataclass(frozen=True, order=True)
class Difference:
    """One entry where a recording differs from the reference.

    Attributes:
        step: the input step it answers (negative: emitted before the declared latency).
        sample: index in the batch.
        node: the node's name.
        neuron: index within the node's shape.
        margin: the interpreter's v - v_threshold; for a value node the difference from the reference.
    """

    step: int
    sample: int
    node: str
    neuron: tuple[int, ...]
    margin: float


@dataclass
class NodeAgreement:
    """How one node's recording compares with the reference.

    Attributes:
        entries: compared values, T x B x neurons.
        ties: differences within rounding.
        mismatches: differences beyond rounding, and spikes before the declared latency.
        early: those of the mismatches that are spikes before the declared latency; no compared entries.
        spikes_reference: spikes of the interpreter; `None` for a value node.
        spikes_backend: spikes of the recording; `None` for a value node.
        spikes_shared: spikes that both emit; `None` for a value node.
    """

    spiking: bool
    entries: int = 0
    ties: int = 0
    mismatches: int = 0
    early: int = 0
    spikes_reference: int | None = None
    spikes_backend: int | None = None
    spikes_shared: int | None = None

    def count_spikes(self, reference: int, backend: int, shared: int) -> None:
        """Add spikes of a spiking node."""
        self.spikes_reference = (self.spikes_reference or 0) + reference
        self.spikes_backend = (self.spikes_backend or 0) + backend
        self.spikes_shared = (self.spikes_shared or 0) + shared

    @property
    def jaccard(self) -> float | None:
        """Shared spikes over spikes of either; 1 where both are silent, `None` for a value node."""
        if self.spikes_reference is None or self.spikes_backend is None or self.spikes_shared is None:
            return None
        either = self.spikes_reference + self.spikes_backend - self.spikes_shared
        return self.spikes_shared / either if either else 1.0


@dataclass
class Agreement:
    """The outcome of an audit.

    Attributes:
        per_node: each recorded node's agreement.
        latency_steps: each node's declared latency.
        ties: the first of them, at most `TIES_LISTED`.
        first_divergence: the earliest mismatch, by step, then order of evaluation, then sample.
    """

    per_node: dict[str, NodeAgreement]
    latency_steps: Mapping[str, int]
    tie_list: list[Difference] = field(default_factory=list)
    first_divergence: Difference | None = None

    @property
    def entries(self) -> int:
        """Compared values."""
        return sum(node.entries for node in self.per_node.values())

    @property
    def ties(self) -> int:
        """Differences within rounding."""
        return sum(node.ties for node in self.per_node.values())

    @property
    def mismatches(self) -> int:
        """Differences beyond rounding."""
        return sum(node.mismatches for node in self.per_node.values())

    @property
    def exact(self) -> bool:
        """No mismatch, and ties in at most 1e-5 of the entries."""
        return self.mismatches == 0 and self.ties <= TIES_ALLOWED * self.entries

    @property
    def equal_spikes(self) -> float:
        """The fraction of spike entries that are equal."""
        spiking = [node for node in self.per_node.values() if node.spiking]
        entries = sum(node.entries for node in spiking)
        return 1 - sum(node.mismatches - node.early + node.ties for node in spiking) / entries if entries else 1.0

    @property
    def jaccard(self) -> float:
        """Shared spikes over spikes of either, all nodes together."""
        nodes = [node for node in self.per_node.values() if node.spiking]
        shared = sum(node.spikes_shared or 0 for node in nodes)
        either = sum((n.spikes_reference or 0) + (n.spikes_backend or 0) for n in nodes) - shared
        return shared / either if either else 1.0


def audit(
    graph: ChipGraph,
    inputs_TBN: Mapping[str, ArrayLike],
    recording: Recording,
    batch: int = 64,
    input_errors: Mapping[str, float] | None = None,
) -> Agreement:
    """Hold `recording` against the reference interpreter on the same inputs.

    Args:
        graph: the network.
        inputs_TBN: for each input node [T, B, *shape], as the backend was given them.
        recording: what the backend did.
        batch: samples held in memory at once; the outcome does not depend on it.
        input_errors: for an input that is known up to rounding only, how far the recording's own may lie from it.

    Raises:
        ArtefactError: the recording lacks a node, or its shape does not fit the inputs.
    """
    arrays = check_inputs(graph, inputs_TBN)
    _check_recording(graph, arrays, recording)
    audited = _Audit(graph, recording, input_errors or {})
    samples = next(iter(arrays.values())).shape[1]
    for start in range(0, samples, batch):
        part = {n: x[:, start : start + batch] for n, x in arrays.items()}
        audited.run(part, start)
    return audited.agreement


class _Audit:
    def __init__(self, graph: ChipGraph, recording: Recording, input_errors: Mapping[str, float]) -> None:
        self.graph = graph
        self.recording = recording
        self.plain = Interpreter(graph)
        self.interpreter = Interpreter(graph, self._decide)
        # A quantised network differs by construction: nothing is put down to rounding, so every difference shows.
        roundoff = recording.unit_roundoff
        self.bounds: Bounds = NoBounds() if roundoff is None else ErrorBounds(self.interpreter, roundoff, input_errors)
        nodes = recorded_nodes(graph)
        counts = {n: NodeAgreement(isinstance(graph.nodes[n], SPIKING)) for n in nodes}
        for node in counts.values():
            if node.spiking:
                node.spikes_reference = node.spikes_backend = node.spikes_shared = 0
        self.agreement = Agreement(counts, {n: recording.latency_steps[n] for n in nodes})
        self.values = [n for n in nodes if not counts[n].spiking]
        self.rank = {name: i for i, name in enumerate(graph.order)}

    def run(self, part: Mapping[str, Array], first_sample: int) -> None:
        """Audit the samples of `part`, which starts at `first_sample`."""
        timesteps, batch = next(iter(part.values())).shape[:2]
        self.first_sample = first_sample
        self.samples = slice(first_sample, first_sample + batch)
        self._early()
        if self._all_equal(part):
            return
        self.interpreter.reset(batch)
        self.bounds.reset(batch)
        for t in range(timesteps):
            self.t = t
            self.bounds.begin_step()
            self.interpreter.step({n: x[t] for n, x in part.items()})
            self.bounds.end_step()
            for name in self.values:
                self._compare_value(name)

    def _all_equal(self, part: Mapping[str, Array]) -> bool:
        """Return whether every recorded entry is the interpreter's own, and if so count it.

        The usual case, which needs no bounds: they cost twice as much as the run itself.
        """
        timesteps, batch = next(iter(part.values())).shape[:2]
        spikes = dict.fromkeys(self.agreement.per_node, 0)
        self.plain.reset(batch)
        for t in range(timesteps):
            self.t = t
            outputs = self.plain.step({n: x[t] for n, x in part.items()})
            for name in spikes:
                if not np.array_equal(self._recorded(name), outputs[name]):
                    return False
                spikes[name] += int(np.count_nonzero(outputs[name]))
        for name, node in self.agreement.per_node.items():
            node.entries += timesteps * batch * prod(self.graph.shapes[name])
            if node.spiking:
                node.count_spikes(spikes[name], spikes[name], spikes[name])
        return True

    def _recorded(self, name: str) -> NDArray[np.generic]:
        row: NDArray[np.generic] = self.recording.nodes[name][self.t + self.recording.latency_steps[name]]
        return row[self.samples]

    def _decide(self, name: str, v_BN: Array, spikes_BN: Spikes) -> Spikes:
        bound = self.bounds.error(name)
        recorded = self._recorded(name).astype(bool)
        margin = v_BN - self.interpreter.neurons[name].v_threshold
        differs = spikes_BN != recorded
        tie = differs & (bound > 0) & (np.abs(margin) <= bound)
        emitted = np.where(tie, recorded, spikes_BN)
        node = self.agreement.per_node[name]
        node.count_spikes(int(emitted.sum()), int(recorded.sum()), int((emitted & recorded).sum()))
        self._count(name, tie, differs & ~tie, margin)
        self.bounds.fire(name, emitted)
        return emitted

    def _compare_value(self, name: str) -> None:
        difference = self._recorded(name).astype(np.float64) - self.interpreter.outputs[name]
        bound = self.bounds.error(name)
        beyond = ~(np.abs(difference) <= np.where(bound > 0, bound + UNDERFLOW, 0.0))
        self._count(name, np.zeros_like(beyond), beyond, difference)

    def _count(self, name: str, tie: Spikes, mismatch: Spikes, margin: Array) -> None:
        node = self.agreement.per_node[name]
        node.entries += tie.size
        node.ties += int(tie.sum())
        node.mismatches += int(mismatch.sum())
        if tie.any():
            ties = [*self.agreement.tie_list, *self._differences(name, tie, margin)]
            self.agreement.tie_list = sorted(ties, key=self._place)[:TIES_LISTED]
        if mismatch.any():
            self._diverged(self._differences(name, mismatch, margin)[0])

    def _place(self, difference: Difference) -> tuple[int, int, int, tuple[int, ...]]:
        """The order of differences: by step, order of evaluation, sample, neuron."""
        return (difference.step, self.rank[difference.node], difference.sample, difference.neuron)

    def _diverged(self, found: Difference) -> None:
        first = self.agreement.first_divergence
        if first is None or self._place(found) < self._place(first):
            self.agreement.first_divergence = found

    def _differences(self, name: str, where: Spikes, margin: Array) -> list[Difference]:
        return [
            Difference(
                self.t, self.first_sample + int(i[0]), name, tuple(int(k) for k in i[1:]), float(margin[tuple(i)])
            )
            for i in np.argwhere(where)[:TIES_LISTED]
        ]

    def _early(self) -> None:
        """Count spikes before the declared latency as mismatches: the node must be silent there."""
        for name, node in self.agreement.per_node.items():
            early = self.recording.early(name)[:, self.samples]
            if not node.spiking or not early.any():
                continue
            node.mismatches += int(np.count_nonzero(early))
            node.early += int(np.count_nonzero(early))
            step, sample, *neuron = (int(k) for k in np.argwhere(early)[0])
            answers = step - self.recording.latency_steps[name]
            self._diverged(Difference(answers, self.first_sample + sample, name, tuple(neuron), float("nan")))


def _check_recording(graph: ChipGraph, arrays: Mapping[str, Array], recording: Recording) -> None:
    timesteps, batch = next(iter(arrays.values())).shape[:2]
    for name in recorded_nodes(graph):
        if name not in recording.nodes or name not in recording.latency_steps:
            raise ArtefactError(f"recording of node '{name}'", "it is missing", "Record every neuron node and output")
        if recording.latency_steps[name] < 0:
            raise ArtefactError(
                f"recording of node '{name}'", f"its latency is {recording.latency_steps[name]}", "Mend the backend"
            )
        wanted = (timesteps + recording.latency_steps[name], batch, *graph.shapes[name])
        got = recording.nodes[name].shape
        if got[0] < wanted[0] or got[1:] != wanted[1:]:
            raise ArtefactError(
                f"recording of node '{name}' of shape {got}",
                f"at least {wanted} is needed",
                "Run T + max latency steps",
            )
        if isinstance(graph.nodes[name], SPIKING) and not np.isin(recording.nodes[name], (0, 1)).all():
            raise ArtefactError(f"recording of node '{name}'", "a spike is 0 or 1 and nothing else", "Mend the backend")
