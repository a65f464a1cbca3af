"""A host stage before it is written: its ONNX file is held against torch over the whole sample.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.cut import Part
from spikeport.export.host_mixing import refuse_mixing
from spikeport.export.host_run import HostStepper
from spikeport.export.host_state import STATE_IN, STATE_OUT, HostNeuron, host_neurons, host_step
from spikeport.export.host_verify import HostAgreement, verify_steps
from spikeport.export.manifest import HostSpec
from spikeport.export.onnx_macs import macs_per_call, stored_weights
from spikeport.export.onnx_stage import (
    BATCH,
    HOST_TOLERANCE,
    TIME,
    HostFunction,
    export_step,
    export_window,
    host_difference,
)
from spikeport.export.run_parts import PartsRun
from spikeport.export.shapes import Shape
from spikeport.files import sha256


@dataclass
class HostDraft:
    """A host stage.

    Attributes:
        name: its name.
        module: the function, states outside.
        form: `step`; `sequence`, windows to windows; or `window`, windows to one answer.
        inputs: the tensor of each argument.
        outputs: the tensor of each result.
        values_TB: those tensors on the sample, as torch computes them.
        arguments: what the function takes, states among them, in order.
        results: what it returns, likewise.
        states: the shape of each state.
        neurons: its spiking neurons.
        inside_TB: what states and neurons show on the sample, by place, as torch computes them.
        agreement: of onnxruntime with torch, once written.
    """

    name: str
    module: nn.Module
    form: Literal["step", "sequence", "window"]
    inputs: dict[str, str]
    outputs: dict[str, str]
    values_TB: dict[str, Tensor]
    arguments: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    states: dict[str, Shape] = field(default_factory=dict)
    neurons: tuple[HostNeuron, ...] = ()
    inside_TB: Mapping[str, Tensor] = field(default_factory=dict)
    agreement: HostAgreement = field(default_factory=HostAgreement)

    def write(self, folder: Path, index: int) -> HostSpec:
        """Write `NN_name.onnx` and hold it against torch on the sample.

        Raises:
            UnfaithfulError: onnxruntime computes something else.
        """
        path = folder / f"{index:02}_{self.name}.onnx"
        if self.form == "step":
            self._write_step(path)
        else:
            self._write_window(path)
        if self.agreement.difference > HOST_TOLERANCE:
            raise UnfaithfulError(
                f"host stage '{self.name}'",
                f"its ONNX form differs by {self.agreement.difference:.2g}",
                "Please report this network",
            )
        timesteps = len(self.values_TB[next(iter(self.inputs.values()))])
        macs, left_out = macs_per_call(path, None if self.form == "step" else {TIME: timesteps, BATCH: 1})
        carried = sum(prod(shape) for shape in self.states.values())
        return HostSpec(
            name=self.name,
            file=path.name,
            sha256=sha256(path),
            form=self.form,
            timesteps_out=1 if self.form == "window" else timesteps,
            inputs=self.inputs,
            outputs=self.outputs,
            states=self.states,
            macs_per_call=macs,
            weights=stored_weights(path),
            input_elements=sum(prod(self.values_TB[t].shape[2:]) for t in self.inputs.values()) + carried,
            output_elements=sum(prod(self.values_TB[t].shape[2:]) for t in self.outputs.values()) + carried,
            not_counted=left_out,
        )

    def _write_window(self, path: Path) -> None:
        given_TB = {name: self.values_TB[tensor].float() for name, tensor in self.inputs.items()}
        axis_out = 0 if self.form == "window" else 1
        refuse_mixing(self.name, self.module, list(given_TB.values()), tuple(self.outputs), 1, axis_out)
        copies = [x.clone() for x in given_TB.values()]
        export_window(self.module, copies, tuple(given_TB), tuple(self.outputs), path)
        got = HostFunction(path)({name: x.numpy() for name, x in given_TB.items()})
        expected = {name: self.values_TB[tensor].float().numpy() for name, tensor in self.outputs.items()}
        if self.form == "window":
            expected = {name: y[0] for name, y in expected.items()}
        self.agreement.difference = max(host_difference(y, got[name]) for name, y in expected.items())

    def _write_step(self, path: Path) -> None:
        inputs_TB = {name: self.values_TB[tensor].float() for name, tensor in self.inputs.items()}
        like = next(iter(inputs_TB.values()))[0]
        states_B = {STATE_IN + name: like.new_zeros(len(like), *shape) for name, shape in self.states.items()}
        first_B = {name: x[0] for name, x in inputs_TB.items()} | states_B
        export_step(self.module, [first_B[name] for name in self.arguments], self.arguments, self.results, path)
        expected_TB = {name: self.values_TB[tensor].float() for name, tensor in self.outputs.items()}
        if self.states or self.neurons:
            expected_TB |= {n: x for n, x in self.inside_TB.items() if n.startswith(STATE_OUT)}
            stepper, names = HostStepper(path, self.states, len(like)), [neuron.name for neuron in self.neurons]
            self.agreement = verify_steps(self.name, stepper, inputs_TB, expected_TB, names, self.inside_TB)
            return
        got = HostFunction(path)({name: x.flatten(0, 1).numpy() for name, x in inputs_TB.items()})
        differences = [host_difference(y.flatten(0, 1).numpy(), got[name]) for name, y in expected_TB.items()]
        self.agreement.difference = max(differences)


def draft_part(name: str, index: int, part: Part, run: PartsRun) -> HostDraft:
    """Return the draft `name` of the host part at `index` that ran on the sample.

    Raises:
        UnfaithfulError: a neuron in it has no faithful form, or it mixes the samples of a batch.
    """
    step = host_step(part.module, part.outputs, part.loops)
    inside = dict(run.inside[index])
    inside |= {STATE_OUT + name: run.tensors[part.outputs[place]] for name, place in part.loops.items()}
    inputs = {argument: tensor for argument, tensor in part.inputs if argument not in part.loops}
    touched = [*inputs.values(), *part.outputs]
    states = {n.removeprefix(STATE_OUT): tuple(x.shape[2:]) for n, x in inside.items() if n.startswith(STATE_OUT)}
    first_B = {name: run.tensors[tensor][0] for name, tensor in inputs.items()}
    like = next(iter(first_B.values()))
    first_B |= {STATE_IN + name: like.new_zeros(len(like), *shape) for name, shape in states.items()}
    refuse_mixing(name, step.module, [first_B[name] for name in step.arguments], step.results)
    return HostDraft(
        name,
        step.module,
        "step",
        inputs,
        {name: name for name in part.outputs},
        {name: run.tensors[name] for name in touched},
        step.arguments,
        step.results,
        states,
        host_neurons(part.module),
        inside,
    )
