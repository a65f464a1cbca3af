"""Random networks from export to backends: each held against its author's own loop, the backends against the reference.

A backend's worker takes seconds to start, so the stages of many networks run as one graph of parts without an edge
between them.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from random_nets import RandomStep, random_case
from snntorch import utils
from torch import Tensor

from spikeport.deploy import backends
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.errors import UnfaithfulError
from spikeport.export.audit import audit
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.convert.trace import trace
from spikeport.export.graph import ChipGraph
from spikeport.export.recording import Recording

STEPS, BATCH, DT = 30, 2, 1e-3
Arrays = Mapping[str, np.ndarray[Any, Any]]


def draw(seed: int) -> tuple[RandomStep, dict[str, Tensor]]:
    """Return a network as a user has it, in float32, with its sample; every second one shares numbers in a layer."""
    model, sample = random_case(seed, STEPS, BATCH, shared=seed % 2 == 0)
    return model.float().eval(), {name: x.float() for name, x in sample.items()}


def own_loop(model: RandomStep, sample_TB: Mapping[str, Tensor]) -> list[np.ndarray[Any, Any]]:
    """The author's loop over forward: states by hand where it takes them, from nothing at first; every output."""
    utils.reset(model.layers)
    states = dict.fromkeys(model.states, torch.zeros(0))
    rows = []
    with torch.no_grad():
        for t in range(STEPS):
            returned = model(*(x[t].clone() for x in sample_TB.values()), **states)
            states = {name: returned[model.returned.index(value)] for name, value in model.states.items()}
            rows.append([y.clone() for y in returned])
    utils.reset(model.layers)
    return [torch.stack(values).numpy() for values in zip(*rows, strict=True)]


@dataclass
class Stage:
    """A chip stage of an accepted network, with what the reference gives it.

    Attributes:
        prefix: of its nodes' names in a graph of many.
        graph: alone.
        inputs_TB: by input node.
    """

    prefix: str
    graph: ChipGraph
    inputs_TB: Arrays

    @property
    def neurons(self) -> int:
        """How many neurons that fire it holds."""
        return sum(int(np.prod(self.graph.shapes[name])) for name in self.graph.spiking)


@dataclass
class Deploys:
    """What became of a number of networks.

    Attributes:
        accepted: by feature.
        networks: accepted.
        refused: reasons, with the seeds.
        silent: seeds whose bundle answers otherwise than the author's loop, with how.
        stages: of the accepted networks.
        refused_by: by backend, reasons with the stages.
        differing: by backend, stages that are not the reference's.
        compared: by backend, entries of stages that ran.
    """

    accepted: Counter[str] = field(default_factory=Counter)
    networks: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    silent: dict[int, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    refused_by: dict[str, dict[str, str]] = field(default_factory=dict)
    differing: dict[str, list[str]] = field(default_factory=dict)
    compared: Counter[str] = field(default_factory=Counter)

    def add(self, seed: int, folder: Path) -> None:
        """Export a network, and hold what its bundle answers against the author's loop."""
        model, sample = draw(seed)
        before = {name: x.clone() for name, x in sample.items()}
        expected = own_loop(model, sample)
        try:
            bundle = export(model, sample, DT, folder / f"{seed}.bundle")
        except UnfaithfulError as error:
            self.refused[seed] = str(error)
            return
        self.networks += 1
        self.accepted.update(model.features)
        assert all(torch.equal(sample[name], x) for name, x in before.items()), f"{seed}: its sample was changed"
        kept = trace(model, {name: x[0] for name, x in sample.items()}).carried.kept
        self._compare(seed, bundle, sample, [expected[place] for place in kept])

    def _compare(
        self, seed: int, bundle: Bundle, sample: Mapping[str, Tensor], expected: Sequence[np.ndarray[Any, Any]]
    ) -> None:
        network = bundle.network
        arrays = {name: x.numpy() for name, x in sample.items()}
        run = run_network(network, lower_network(network, backends.get("reference")), arrays)
        for name, wanted in zip(network.outputs, expected, strict=True):
            got = run.tensors[name]
            close = np.isclose(got, wanted, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(wanted).max())))
            if not close.all() and not bundle.manifest.verification.ties:
                self.silent[seed] = f"{(~close).sum()} of {close.size} entries of output '{name}' differ"
        for stage in network.chips:
            self.stages.append(Stage(f"n{seed}_{stage.name}_", stage.graph, run.chip_inputs[stage.name]))

    def deploy(self, name: str, chunk: int, first: int | None = None) -> dict[str, Recording]:
        """Run all stages that a backend takes, of the `first`, `chunk` at once; hold each against the reference."""
        backend = backends.get(name)
        refused = self.refused_by.setdefault(name, {})
        taken = []
        for stage in self.stages[:first]:
            reasons = [f"{v.kind}: {v.reason}" for v in backend.explain(stage.graph) if v.fate == "refused"]
            if reasons:
                refused[stage.prefix] = reasons[0]
            else:
                taken.append(stage)
        found = {}
        for start in range(0, len(taken), chunk):
            some = taken[start : start + chunk]
            if backend.calibrates:
                some = [stage for stage in some if self._lowers(name, stage)]
            graph, inputs = union(some)
            recording = backend.lower(graph, inputs if backend.calibrates else None).run(inputs)
            found[f"{start}"] = recording
            if recording.unit_roundoff is None:
                self.compared[name] += sum(x.size for x in recording.nodes.values())
                continue
            agreement = audit(graph, inputs, recording)
            self.compared[name] += agreement.entries
            bad = {n for n, node in agreement.per_node.items() if node.mismatches}
            self.differing.setdefault(name, []).extend(
                s.prefix for s in some if any(n.startswith(s.prefix) for n in bad)
            )
        return found

    def _lowers(self, name: str, stage: Stage) -> bool:
        """Whether the samples do not drive the stage out of the integers' range, which only lowering can tell."""
        try:
            backends.get(name).lower(stage.graph, stage.inputs_TB)
        except UnfaithfulError as error:
            self.refused_by[name][stage.prefix] = str(error)
            return False
        return True

    def lines(self) -> list[str]:
        """Return the tally in words."""
        said = [f"{self.networks} accepted, {len(self.refused)} refused, {len(self.silent)} silent differences"]
        said += [f"  {n} refused: {reason}" for reason, n in by_reason(self.refused.values()).most_common()]
        said += [f"  silent: seed {seed}: {how}" for seed, how in self.silent.items()]
        for name, refused in self.refused_by.items():
            differing = self.differing.get(name, [])
            share = 1 - sum(s.neurons for s in self.stages if s.prefix in refused) / sum(s.neurons for s in self.stages)
            said.append(
                f"{name}: {len(self.stages) - len(refused)} of {len(self.stages)} stages, {share:.1%} of the neurons, "
                f"{self.compared[name]} entries, {len(differing)} differ {differing[:8]}"
            )
            said += [f"  {n} refused: {reason}" for reason, n in by_reason(refused.values()).most_common()]
        return said


def by_reason(messages: Iterable[str]) -> Counter[str]:
    """Count messages without the names and numbers in them."""
    return Counter(
        re.sub(r"(?<!\w)'[^']*'", "'*'", re.sub(r"-?\d+(\.\d+)?(e[-+]\d+)?", "#", text))[:150] for text in messages
    )


def union(stages: Sequence[Stage]) -> tuple[ChipGraph, dict[str, np.ndarray[Any, Any]]]:
    """Return one graph that holds every stage's by itself, and its inputs."""
    nodes: dict[str, nir.NIRNode] = {}
    edges, registers, inputs = [], [], {}
    for stage in stages:
        graph, prefix = stage.graph, stage.prefix
        nodes |= {prefix + name: node for name, node in graph.nodes.items()}
        edges += [(prefix + u, prefix + w) for u, w in graph.edges]
        registers += [(prefix + u, prefix + w) for u, w in graph.registers]
        inputs |= {prefix + name: np.asarray(x) for name, x in stage.inputs_TB.items()}
    whole = nir.NIRGraph(nodes, edges, metadata={}, type_check=False)
    return ChipGraph.from_nir(whole, DT, registers), inputs
