"""Running a whole network: its chip stages on a backend, its host stages by onnxruntime, tensors handed on.

Shapes: T time, B batch, `*` the tensor's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.backend import Backend, Inputs, Program
from spikeport.deploy.lockstep import looped_stages, run_lockstep
from spikeport.deploy.loops import lockstep_refusal
from spikeport.deploy.reference import ReferenceProgram
from spikeport.errors import UsageError
from spikeport.export.host_run import run_host
from spikeport.export.recording import Recording
from spikeport.export.stages import ChipStage, HostStage, StagedNetwork

Array = NDArray[np.generic]


@dataclass
class NetworkRun:
    """What one run of a network left behind.

    Attributes:
        tensors: every named tensor [T, B, *shape], inputs and outputs among them.
        chip_inputs: for each chip stage, what its input nodes were given.
        recordings: for each chip stage, what it did.
    """

    tensors: dict[str, Array]
    chip_inputs: dict[str, dict[str, Array]] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)

    @property
    def quantised(self) -> frozenset[str]:
        """The stages that differ from the float network by construction, and say so."""
        return frozenset(stage for stage, found in self.recordings.items() if found.unit_roundoff is None)


def lower_network(network: StagedNetwork, backend: Backend, calibration: Inputs | None = None) -> dict[str, Program]:
    """Lower every chip stage; `calibration` is sample inputs of the network.

    A stage behind others is calibrated on what the reference hands it for these samples, if the backend calibrates.

    Raises:
        UnfaithfulError: a loop across stages needs a backend that runs step by step.
    """
    if refusal := lockstep_refusal(network, backend):
        raise refusal
    given = _calibrations(network, calibration) if backend.calibrates else {}
    return {stage.name: backend.lower(stage.graph, given.get(stage.name)) for stage in network.chips}


def _calibrations(network: StagedNetwork, calibration: Inputs | None) -> Mapping[str, Inputs]:
    """Return what each chip stage reads for the network's sample inputs; nothing without them."""
    if calibration is None or not set(network.inputs) <= set(calibration):
        return {}
    inputs = {name: np.asarray(calibration[name]) for name in network.inputs}
    chips = [stage for stage in network.chips if not set(stage.inputs.values()) <= set(inputs)]
    if not chips:
        return {stage.name: {node: inputs[t] for node, t in stage.inputs.items()} for stage in network.chips}
    reference = {stage.name: ReferenceProgram(stage.graph) for stage in network.chips}
    return run_network(network, reference, inputs).chip_inputs


def run_network(network: StagedNetwork, programs: Mapping[str, Program], inputs_TB: Inputs) -> NetworkRun:
    """Run `network` on its input tensors [T, B, *shape].

    Raises:
        UsageError: an input is missing or unknown.
    """
    if set(inputs_TB) != set(network.inputs):
        raise UsageError(f"inputs {sorted(inputs_TB)}", f"the network takes {sorted(network.inputs)}", "Name each once")
    run = NetworkRun({name: np.asarray(x) for name, x in inputs_TB.items()})
    looped = looped_stages(network)
    for i, stage in enumerate(network.stages):
        if i in looped:
            if i == looped.start:
                _run_looped(network, looped, run)
        elif isinstance(stage, ChipStage):
            _run_chip(stage, programs[stage.name], run)
        else:
            _run_host(stage, run)
    return run


def _run_chip(stage: ChipStage, program: Program, run: NetworkRun) -> None:
    given = {node: run.tensors[tensor] for node, tensor in stage.inputs.items()}
    recording = program.run(given)
    run.chip_inputs[stage.name] = given
    run.recordings[stage.name] = recording
    for node, tensor in stage.outputs.items():
        run.tensors[tensor] = recording.aligned(node)


def _run_looped(network: StagedNetwork, looped: range, run: NetworkRun) -> None:
    recordings, chip_inputs = run_lockstep(network, looped, run.tensors)
    run.recordings |= recordings
    run.chip_inputs |= chip_inputs


def _run_host(stage: HostStage, run: NetworkRun) -> None:
    values = run_host(stage, {node: run.tensors[tensor] for node, tensor in stage.inputs.items()})
    run.tensors |= {tensor: values[node] for node, tensor in stage.outputs.items()}


def scores(run: NetworkRun, network: StagedNetwork) -> Array:
    """Return the class scores [B, K]: the network's answer, summed over time (spikes are counted)."""
    answer: Array = run.tensors[network.answer].astype(np.float64).sum(axis=0)
    return answer.reshape(len(answer), -1)
