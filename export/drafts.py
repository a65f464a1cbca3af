"""The stages of a bundle before they are written: each verified against the model on real samples.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.audit import Agreement
from spikeport.export.convert import Conversion, convert
from spikeport.export.convert.trace import Trace, trace
from spikeport.export.convert.window import WindowModel, window_model
from spikeport.export.cut import Part, cut, needs_host, run_parts
from spikeport.export.manifest import ChipSpec, HostSpec
from spikeport.export.nir_file import write_nir
from spikeport.export.onnx_stage import (
    HOST_TOLERANCE,
    HostFunction,
    export_step,
    export_window,
    host_difference,
    macs_per_call,
)
from spikeport.export.recording import Recording
from spikeport.export.verify import check_trace, record_model, verify
from spikeport.files import sha256

CORE, READOUT, SPIKES, LOGITS = "core", "readout", "spikes", "logits"


@dataclass
class ChipDraft:
    """A chip stage.

    Attributes:
        name: its name.
        conversion: the converted part.
        inputs: the tensor of each input node.
        outputs: the tensor of each output node.
        recording: what the model did on the sample.
        agreement: the audit of `recording`, `None` where it was not asked for.
    """

    name: str
    conversion: Conversion
    inputs: dict[str, str]
    outputs: dict[str, str]
    recording: Recording
    agreement: Agreement | None

    def write(self, folder: Path, index: int) -> ChipSpec:
        """Write `NN_name.nir`."""
        graph = self.conversion.graph
        path = folder / f"{index:02}_{self.name}.nir"
        write_nir(path, graph)
        return ChipSpec(
            name=self.name,
            file=path.name,
            sha256=sha256(path),
            registers=tuple(sorted(graph.registers)),
            inputs=self.inputs,
            outputs=self.outputs,
        )


@dataclass
class HostDraft:
    """A host stage.

    Attributes:
        name: its name.
        module: the function.
        form: `step` or `window`.
        inputs: the tensor of each argument.
        outputs: the tensor of each result.
        values_TB: those tensors on the sample, as torch computes them.
        difference: of onnxruntime from torch, once written.
    """

    name: str
    module: nn.Module
    form: Literal["step", "window"]
    inputs: dict[str, str]
    outputs: dict[str, str]
    values_TB: dict[str, Tensor]
    difference: float = field(default=0.0)

    def write(self, folder: Path, index: int) -> HostSpec:
        """Write `NN_name.onnx` and hold it against torch on the sample.

        Raises:
            UnfaithfulError: onnxruntime computes something else.
        """
        path = folder / f"{index:02}_{self.name}.onnx"
        given = [self.values_TB[tensor].float() for tensor in self.inputs.values()]
        if self.form == "window":
            export_window(self.module, given[0], path)
        else:
            given = [x.flatten(0, 1) for x in given]
            export_step(self.module, given, list(self.inputs), list(self.outputs), path)
        got = HostFunction(path)({name: x.numpy() for name, x in zip(self.inputs, given, strict=True)})
        for node, tensor in self.outputs.items():
            expected = self.values_TB[tensor].float()
            folded = expected[0] if self.form == "window" else expected.flatten(0, 1)
            self.difference = max(self.difference, host_difference(folded.numpy(), got[node]))
        if self.difference > HOST_TOLERANCE:
            raise UnfaithfulError(
                f"host stage '{self.name}'",
                f"its ONNX form differs by {self.difference:.2g}",
                "Please report this network",
            )
        macs, left_out = macs_per_call(path)
        return HostSpec(
            name=self.name,
            file=path.name,
            sha256=sha256(path),
            form=self.form,
            timesteps_out=1 if self.form == "window" else len(self.values_TB[next(iter(self.inputs.values()))]),
            inputs=self.inputs,
            outputs=self.outputs,
            macs_per_call=macs,
            input_elements=sum(prod(self.values_TB[t].shape[2:]) for t in self.inputs.values()),
            output_elements=sum(prod(self.values_TB[t].shape[2:]) for t in self.outputs.values()),
            not_counted=left_out,
        )


@dataclass(frozen=True)
class Drafts:
    """All stages, in order, and the tensors that the network answers with."""

    stages: tuple[ChipDraft | HostDraft, ...]
    outputs: dict[str, Tensor]

    @property
    def chips(self) -> tuple[ChipDraft, ...]:
        """The chip stages."""
        return tuple(stage for stage in self.stages if isinstance(stage, ChipDraft))


def draft(
    core: nn.Module,
    readout: nn.Module | None,
    sample_TB: Mapping[str, Tensor],
    dt_s: float,
    names: tuple[str, ...] | None,
    check: bool,
) -> Drafts:
    """Trace, cut, convert and verify a network on its sample.

    Raises:
        UnfaithfulError: a part has no faithful form, or is not the model.
    """
    first_B = {n: x[0] for n, x in sample_TB.items()}
    window = window_model(core, sample_TB, names)
    core = window.step if window else core
    traced = trace(core, first_B, names)
    if needs_host(traced):
        stages, outputs = _cut_stages(traced, sample_TB, dt_s, check)
    else:
        stage = _chip(CORE, convert(core, first_B, dt_s, names), {n: n for n in sample_TB}, sample_TB, check, window)
        stage.outputs = {n: SPIKES if readout is not None else n for n in stage.conversion.graph.outputs}
        outputs = {stage.outputs[n]: torch.from_numpy(stage.recording.nodes[n]) for n in stage.outputs}
        stages = [stage]
    if readout is not None:
        last = _readout(readout, outputs)
        return Drafts((*stages, last), {LOGITS: last.values_TB[LOGITS]})
    return Drafts(tuple(stages), outputs)


def _cut_stages(
    traced: Trace, sample_TB: Mapping[str, Tensor], dt_s: float, check: bool
) -> tuple[list[ChipDraft | HostDraft], dict[str, Tensor]]:
    if check:
        check_trace(traced, sample_TB)
    parts, returned = cut(traced)
    tensors = run_parts(parts, sample_TB)
    stages: list[ChipDraft | HostDraft] = []
    for i, part in enumerate(parts):
        stages.append(
            _chip_part(i, part, tensors, dt_s, check) if part.kind == "chip" else _host_part(i, part, tensors)
        )
    if not any(isinstance(stage, ChipDraft) for stage in stages):
        raise UnfaithfulError("the model", "no part of it can run on a chip", "Export ANNs as ONNX")
    return stages, {name: tensors[name] for name in returned}


def _chip_part(index: int, part: Part, tensors: Mapping[str, Tensor], dt_s: float, check: bool) -> ChipDraft:
    sample_TB = {argument: tensors[tensor] for argument, tensor in part.inputs}
    conversion = convert(part.module, {n: x[0] for n, x in sample_TB.items()}, dt_s)
    stage = _chip(f"chip_{index}", conversion, dict(part.inputs), sample_TB, check)
    stage.outputs = dict(zip(conversion.outputs, part.outputs, strict=True))
    return stage


def _chip(
    name: str,
    conversion: Conversion,
    inputs: dict[str, str],
    sample_TB: Mapping[str, Tensor],
    check: bool,
    window: WindowModel | None = None,
) -> ChipDraft:
    recording = window.record(conversion, sample_TB) if window else record_model(conversion, sample_TB)
    agreement = verify(conversion, sample_TB, recording) if check else None
    return ChipDraft(name, conversion, inputs, {}, recording, agreement)


def _host_part(index: int, part: Part, tensors: Mapping[str, Tensor]) -> HostDraft:
    touched = [tensor for _, tensor in part.inputs] + list(part.outputs)
    return HostDraft(
        f"host_{index}",
        part.module,
        "step",
        dict(part.inputs),
        {name: name for name in part.outputs},
        {name: tensors[name] for name in touched},
    )


def _readout(readout: nn.Module, outputs: Mapping[str, Tensor]) -> HostDraft:
    if len(outputs) != 1:
        raise UnfaithfulError(READOUT, f"the core has {len(outputs)} outputs and the readout takes one", "Return one")
    ((tensor, value_TBN),) = outputs.items()
    private: Any = readout
    with torch.no_grad():
        logits_BK: Tensor = private(value_TBN.float())
    values = {tensor: value_TBN, LOGITS: logits_BK[None]}
    return HostDraft(READOUT, readout, "window", {"input": tensor}, {"output": LOGITS}, values)
