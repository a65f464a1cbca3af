"""A network cut into stages: chip graphs and host functions that pass named tensors on.

A tensor is [T, B, *shape]. A stage reads some by name and writes others; the stages stand in the order in which
they run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from spikeport.errors import ArtefactError, UsageError
from spikeport.export.graph import ChipGraph, Edge, IfStep
from spikeport.export.nir_file import read_nir
from spikeport.export.shapes import Shape


@dataclass(frozen=True)
class ChipStage:
    """A part that runs on a chip: a discrete-time NIR graph.

    Attributes:
        name: unique in the network.
        graph: what it computes.
        inputs: the tensor that each input node reads.
        outputs: the tensor that each output node writes.
        graded: the input nodes that were given other values than 0 and 1 when the network was exported; `None` where
            it is not known.
    """

    name: str
    graph: ChipGraph
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    graded: tuple[str, ...] | None = None
    kind: Literal["chip"] = "chip"


@dataclass(frozen=True)
class HostStage:
    """A part that runs beside the chip, by onnxruntime.

    Attributes:
        name: unique in the network.
        path: the ONNX file.
        form: `step`: called for every step; `sequence`: once with all T steps, giving T steps; `window`: once with all
            T steps, giving one answer without an axis of time.
        timesteps_out: the steps that it gives; 1 of a window stage.
        macs_per_call: multiply-accumulates of one call on one sample.
        input_elements: elements that one call reads, for one sample and, of a whole window, for one step.
        output_elements: elements that one call writes, for one sample and, of a sequence, for one step.
        not_counted: ONNX operators whose cost `macs_per_call` leaves out.
        states: what a step stage carries from step to step, with its shape; 0 at a sample's first step.
        weights: how many it stores, `None` where the bundle does not say.
    """

    name: str
    path: Path
    form: Literal["step", "sequence", "window"]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    timesteps_out: int
    macs_per_call: int
    input_elements: int
    output_elements: int
    not_counted: tuple[str, ...] = ()
    states: Mapping[str, Shape] = field(default_factory=dict)
    weights: int | None = None
    kind: Literal["host"] = "host"


Stage = ChipStage | HostStage


@dataclass(frozen=True)
class TensorRegister:
    """A loop across stages: a tensor that is another of the step before.

    Attributes:
        tensor: what stages read; 0 at a sample's first step.
        source: what a later stage writes.
        shape: of both, without time and batch.
    """

    tensor: str
    source: str
    shape: Shape


@dataclass(frozen=True)
class StagedNetwork:
    """A whole network.

    Attributes:
        name: for the user.
        dt_s: the time step in seconds.
        inputs: the shape of each input tensor, without time and batch.
        outputs: the tensors that the network answers with.
        answer: the one of them that scores are read from.
        stages: in order of execution.
        registers: the loops across stages; what they span runs step by step.
    """

    name: str
    dt_s: float
    inputs: Mapping[str, Shape]
    outputs: tuple[str, ...]
    answer: str
    stages: tuple[Stage, ...]
    registers: tuple[TensorRegister, ...] = ()

    def check_wiring(self) -> None:
        """Hold what the stages read against what there is before them.

        Raises:
            ArtefactError: a stage reads what nothing before it writes, two write the same, or a chip stage's
                nodes are not its graph's.
        """
        written = {stage.name: [*stage.outputs.values()] for stage in self.stages}
        late = {register.tensor: register.source for register in self.registers}
        everything = [*self.inputs, *late, *chain.from_iterable(written.values())]
        if twice := next((name for name in everything if everything.count(name) > 1), None):
            raise _miswired(f"tensor '{twice}'", "two things of the network are called so")
        known = {*self.inputs, *late}
        for stage in self.stages:
            if unknown := sorted({*stage.inputs.values()} - known):
                raise _miswired(f"stage '{stage.name}'", f"it reads '{unknown[0]}', which nothing before it writes")
            if not stage.inputs:
                raise _miswired(f"stage '{stage.name}'", "it reads nothing")
            known |= {*written[stage.name]}
            if isinstance(stage, ChipStage):
                graph = stage.graph
                if stray := sorted({*stage.inputs} ^ {*graph.inputs} | {*stage.outputs} - {*graph.outputs}):
                    raise _miswired(f"stage '{stage.name}', node '{stray[0]}'", "its graph and the stage differ in it")
        if lost := sorted({*self.outputs, *late.values()} - known):
            raise _miswired(f"tensor '{lost[0]}'", "no stage writes it")

    @property
    def chips(self) -> tuple[ChipStage, ...]:
        """The chip stages."""
        return tuple(stage for stage in self.stages if isinstance(stage, ChipStage))


def _miswired(where: str, reason: str) -> ArtefactError:
    return ArtefactError(where, reason, "Export the bundle again")


def network_of_nir(
    path: Path, dt_s: float | None, registers: list[Edge] | None = None, if_step: IfStep | None = None
) -> StagedNetwork:
    """Return a bare `.nir` file, made by any tool, as a network of one chip stage.

    Raises:
        UsageError: `dt_s` is missing; NIR files carry no time step.
    """
    if dt_s is None:
        raise UsageError(
            f"{path}", "a .nir file carries no time step", "Give the step it was trained with: --dt SECONDS"
        )
    graph = ChipGraph.from_nir(read_nir(path), dt_s, registers, if_step)
    inputs = {name: graph.shapes[name] for name in graph.inputs}
    stage = ChipStage("core", graph, {n: n for n in graph.inputs}, {n: n for n in graph.outputs})
    return StagedNetwork(path.stem, dt_s, inputs, graph.outputs, graph.outputs[0], (stage,))
