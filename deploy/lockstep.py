"""Loops across stages: the stages that a loop spans run one step at a time, in order, over the network's registers.

Only the reference runs so; the other backends take whole windows.
Shapes: T time, B batch, `*` the tensor's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.export.graph import SPIKING
from spikeport.export.host_run import HostStepper
from spikeport.export.interpreter import Interpreter, recorded_nodes
from spikeport.export.recording import FLOAT64, Recording
from spikeport.export.stages import ChipStage, HostStage, StagedNetwork

Array = NDArray[np.generic]
Step = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def looped_stages(network: StagedNetwork) -> range:
    """Return the places of the stages that the loops span.

    Raises:
        ArtefactError: a register comes from no stage, or a window stage stands within.
    """
    places: list[int] = []
    for register in network.registers:
        readers = [i for i, stage in enumerate(network.stages) if register.tensor in stage.inputs.values()]
        writers = [i for i, stage in enumerate(network.stages) if register.source in stage.outputs.values()]
        if not readers or not writers:
            raise ArtefactError(f"register '{register.tensor}'", "no stage reads or writes it", "Export again")
        places += readers + writers
    span = range(min(places), max(places) + 1) if places else range(0)
    for stage in network.stages[span.start : span.stop]:
        if isinstance(stage, HostStage) and stage.form != "step":
            raise ArtefactError(f"stage '{stage.name}'", "it takes a whole window within a loop", "Export again")
    return span


def run_lockstep(
    network: StagedNetwork, span: range, tensors_TB: dict[str, Array]
) -> tuple[dict[str, Recording], dict[str, dict[str, Array]]]:
    """Run the stages of `span`; add what they write, and the registers, to the tensors.

    Returns:
        For each chip stage its recording and its inputs.
    """
    stages = network.stages[span.start : span.stop]
    timesteps, batch = next(iter(tensors_TB.values())).shape[:2]
    steps = {stage.name: _stepper(stage, batch) for stage in stages}
    before: dict[str, Array] = {r.source: np.zeros((batch, *r.shape)) for r in network.registers}
    rows: list[dict[str, Array]] = []
    nodes: dict[str, list[Mapping[str, Array]]] = {stage.name: [] for stage in stages}
    for t in range(timesteps):
        now = {name: x[t] for name, x in tensors_TB.items()}
        now |= {r.tensor: before[r.source] for r in network.registers}
        for stage in stages:
            values = steps[stage.name]({node: now[tensor] for node, tensor in stage.inputs.items()})
            nodes[stage.name].append(values)
            now |= {tensor: values[node] for node, tensor in stage.outputs.items()}
        before = now
        rows.append(now)
    tensors_TB |= _stack(rows)
    chips = [stage for stage in stages if isinstance(stage, ChipStage)]
    recordings = {chip.name: _recording(_stack(nodes[chip.name])) for chip in chips}
    return recordings, {chip.name: {n: tensors_TB[x] for n, x in chip.inputs.items()} for chip in chips}


def _stepper(stage: ChipStage | HostStage, batch: int) -> Step:
    if isinstance(stage, HostStage):
        return HostStepper(stage.path, stage.states, batch).step
    interpreter = Interpreter(stage.graph)
    interpreter.reset(batch)
    spiking = {name for name in recorded_nodes(stage.graph) if isinstance(stage.graph.nodes[name], SPIKING)}

    def step(inputs_B: Mapping[str, Array]) -> dict[str, Array]:
        values = interpreter.step({name: np.asarray(x, dtype=np.float64) for name, x in inputs_B.items()})
        return {
            name: values[name].astype(np.uint8) if name in spiking else values[name]
            for name in recorded_nodes(stage.graph)
        }

    return step


def _recording(nodes: Mapping[str, Array]) -> Recording:
    return Recording(nodes, dict.fromkeys(nodes, 0), len(next(iter(nodes.values()))), FLOAT64)


def _stack(rows: list[dict[str, Array]] | list[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
