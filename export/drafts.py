"""The stages of a bundle before they are written: each verified against the model on real samples.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.audit import Agreement
from spikeport.export.author import check_trace
from spikeport.export.convert import Conversion, Rewrite, carried_rewrites, convert, convert_trace
from spikeport.export.convert.feedback import returned_nodes
from spikeport.export.convert.trace import Trace, trace
from spikeport.export.convert.window import WindowModel, window_model
from spikeport.export.cut import Cut, Part, cut
from spikeport.export.host_draft import HostDraft, draft_part
from spikeport.export.manifest import ChipSpec, RegisterSpec
from spikeport.export.nir_file import write_nir
from spikeport.export.recording import Recording
from spikeport.export.run_parts import run_parts
from spikeport.export.sides import Placed, placed
from spikeport.export.verify import record_model, verify
from spikeport.files import sha256
from spikeport.models.network import CORE

TWICE = "computed on the chip for its neurons, and again on the host, which reads its values"


@dataclass
class ChipDraft:
    """A chip stage.

    Attributes:
        name: its name.
        conversion: the converted part.
        inputs: the tensor of each input node.
        outputs: the tensor of each output node.
        graded: the input nodes whose values on the sample are not all 0 and 1.
        recording: what the model did on the sample.
        agreement: the audit of `recording`, `None` where it was not asked for.
    """

    name: str
    conversion: Conversion
    inputs: dict[str, str]
    outputs: dict[str, str]
    graded: tuple[str, ...]
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
            graded=self.graded,
        )


@dataclass(frozen=True)
class Drafts:
    """A whole network before it is written.

    Attributes:
        stages: in order.
        outputs: the tensors that the network answers with.
        tensors: what the stages read and write, on the sample.
        registers: the loops across stages.
        rewrites: what the cut changed.
    """

    stages: tuple[ChipDraft | HostDraft, ...]
    outputs: dict[str, Tensor]
    tensors: Mapping[str, Tensor]
    registers: tuple[RegisterSpec, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()

    @property
    def chips(self) -> tuple[ChipDraft, ...]:
        """The chip stages."""
        return tuple(stage for stage in self.stages if isinstance(stage, ChipDraft))


def draft(
    core: nn.Module,
    sample_TB: Mapping[str, Tensor],
    dt_s: float,
    names: tuple[str, ...] | None,
    check: bool,
    feedback: Mapping[str, int] | None = None,
    part: str = "",
    outputs: tuple[str, ...] = (),
    wanted: tuple[int, ...] | None = None,
) -> Drafts:
    """Trace, cut, convert and verify a step, or a network of window neurons, on its sample.

    Args:
        core: the network.
        sample_TB: its inputs.
        dt_s: the time step in seconds.
        names: what to call forward's arguments, where not as in the code.
        check: whether to audit.
        feedback: see `spikeport.export`.
        part: of which part of a network this is the step, in front of the names of its stages; "" for all.
        outputs: what to call what it returns, where it is one chip stage and not as in its graph.
        wanted: the places of forward's outputs that anybody reads, by default all.

    Raises:
        UnfaithfulError: a part has no faithful form, or is not the model.
    """
    first_B = {n: x[0] for n, x in sample_TB.items()}
    window = window_model(core, sample_TB, names)
    if window and feedback:
        raise UsageError(f"feedback {dict(feedback)}", "forward takes all time steps at once", "Export one step")
    traced = trace(window.step if window else core, first_B, names, feedback, wanted)
    if check and not window:
        check_trace(core, traced, sample_TB)
    # What a segment gives, a segment behind it reads: where to cut is the author's. A window's proof is of one stage.
    step = placed(traced, "chip" if window or outputs else "host")
    if step.needs_host:
        return _cut_stages(traced, step, sample_TB, dt_s, check, part)
    conversion = convert_trace(traced, dt_s, type(core).__name__)
    stage = _chip(part or CORE, conversion, {n: n for n in sample_TB}, _fed_back(traced, sample_TB), check, window)
    stage.outputs = dict(zip(conversion.outputs, outputs or conversion.outputs, strict=True))
    values_TB = {tensor: torch.from_numpy(stage.recording.nodes[n]) for n, tensor in stage.outputs.items()}
    return Drafts((stage,), values_TB, {**sample_TB, **values_TB})


def _fed_back(traced: Trace, sample_TB: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the sample, and what the model hands itself from step to step on it."""
    if not traced.loops:
        return sample_TB
    outputs = tuple(f"output_{i}" for i in range(len(returned_nodes(traced.module.graph))))
    whole = Part("chip", traced.module, tuple((name, name) for name in traced.inputs), outputs)
    step = Cut((whole,), outputs, {name: outputs[loop.place] for name, loop in traced.loops.items()})
    tensors = run_parts(step, sample_TB, traced.loops).tensors
    return {name: tensors[name] for name in traced.inputs}


def _cut_stages(
    traced: Trace, sides: Placed, sample_TB: Mapping[str, Tensor], dt_s: float, check: bool, whole: str
) -> Drafts:
    stem = f"{whole}_" if whole else ""
    step = cut(traced, sides, stem)
    run = run_parts(step, sample_TB, traced.loops)
    stages: list[ChipDraft | HostDraft] = []
    for i, part in enumerate(step.parts):
        stages.append(
            _chip_part(f"{stem}chip_{i}", part, run.tensors, dt_s, check)
            if part.kind == "chip"
            else draft_part(f"{stem}host_{i}", i, part, run)
        )
    if not any(isinstance(stage, ChipDraft) for stage in stages):
        reason = "it has no spiking neuron for a chip"
        raise UnfaithfulError(whole or "the model", reason, "Export ANNs with spikeport's ONNX export")
    registers = [RegisterSpec(tensor=n, source=u, shape=traced.loops[n].shape) for n, u in step.registers.items()]
    outputs = {name: run.tensors[name] for name in step.outputs}
    rewrites = (*carried_rewrites(traced), *(Rewrite(name, TWICE) for name in sides.twice))
    return Drafts(tuple(stages), outputs, run.tensors, tuple(registers), rewrites)


def _chip_part(name: str, part: Part, tensors: Mapping[str, Tensor], dt_s: float, check: bool) -> ChipDraft:
    sample_TB = {argument: tensors[tensor] for argument, tensor in part.inputs}
    conversion = convert(part.module, {n: x[0] for n, x in sample_TB.items()}, dt_s, feedback=part.loops)
    inputs = {argument: tensor for argument, tensor in part.inputs if argument not in part.loops}
    stage = _chip(name, conversion, inputs, sample_TB, check)
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
    graded = tuple(node for node in inputs if not bool(((sample_TB[node] == 0) | (sample_TB[node] == 1)).all()))
    return ChipDraft(name, conversion, inputs, {}, graded, recording, agreement)
